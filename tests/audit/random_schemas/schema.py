"""Schemas as values: tables, policies and privileges, and the SQL that creates them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

API_ROLES = ("anon", "authenticated")
SELECT, INSERT, UPDATE, DELETE = "select", "insert", "update", "delete"
COMMANDS = (SELECT, INSERT, UPDATE, DELETE)
# the column with the organization of a row
ORGANIZATION = "org_id"
# how a policy asks for a membership
INLINE, DEFINER, INVOKER = "inline", "definer", "invoker"

# columns with few values, which policies compare
LABELS = {
    "is_public": ("true", "false"),
    "status": ("draft", "published", "archived"),
    "level": ("low", "middle", "high"),
    "kind": ("free", "paid"),
    "done": ("true", "false"),
}

PRELUDE = """
create type public.level as enum ('low', 'middle', 'high');
create domain public.short_text as text check (char_length(value) between 1 and 200);
"""
GROUPS = """
create table public.groups (id uuid primary key default gen_random_uuid(), name text not null);
create table public.members (
  group_id uuid not null references public.groups on delete cascade,
  user_id uuid not null references auth.users on delete cascade,
  role text not null default 'member' check (role in ('admin', 'member')),
  {state}
  primary key (group_id, user_id)
);
"""
STATE = "state text not null default 'active' check (state in ('active', 'disabled')),"


@dataclass(frozen=True)
class Everyone:
    """true or false."""

    value: bool

    def sql(self, table: "Table") -> str:
        """The constant."""
        return str(self.value).lower()


@dataclass(frozen=True)
class Owner:
    """The row names its owner, who is the caller."""

    def sql(self, table: "Table") -> str:
        """A comparison with the owner."""
        return f"{table.owner} = (select auth.uid())"


@dataclass(frozen=True)
class Equals:
    """A column of the row has a value: a flag, a label."""

    column: str
    value: str

    def sql(self, table: "Table") -> str:
        """A comparison with a literal."""
        return f"{self.column} = '{self.value}'" if self.value != "true" else self.column


@dataclass(frozen=True)
class Claim:
    """The caller has a claim that only the project sets."""

    value: str

    def sql(self, table: "Table") -> str:
        """A comparison of app_metadata."""
        return f"(auth.jwt() -> 'app_metadata' ->> 'role') = '{self.value}'"


@dataclass(frozen=True)
class Tenant:
    """The row has the organization that is in a claim of the caller."""

    def sql(self, table: "Table") -> str:
        """A comparison with app_metadata."""
        return f"{ORGANIZATION} = (auth.jwt() -> 'app_metadata' ->> 'org_id')::uuid"


@dataclass(frozen=True)
class Member:
    """The caller is a member of the row's group: with the role, if there is one, and active, if the
    schema has states and this asks for them.
    """

    how: str
    role: str | None = None
    active: bool = False

    @property
    def condition(self) -> str:
        """Conditions on the membership beside the group and the user."""
        found = "" if self.role is None else f" and m.role = '{self.role}'"
        return found + (" and m.state = 'active'" if self.active else "")

    @property
    def function(self) -> str:
        """The name of the function that asks."""
        return f"is_{self.role or 'member'}{'_now' if self.active else ''}_{self.how}"

    def sql(self, table: "Table") -> str:
        """A subquery, or a call."""
        if self.how != INLINE:
            return f"public.{self.function}({table.group})"
        return (
            "exists (select from public.members as m"
            f" where m.group_id = {table.name}.{table.group}"
            f" and m.user_id = (select auth.uid()){self.condition})"
        )

    def creation(self) -> str:
        """The statement that creates the function."""
        definer = " security definer" if self.how == DEFINER else ""
        return (
            f"create function public.{self.function}(wanted uuid) returns boolean language sql"
            f" stable{definer} set search_path = '' as $$ select exists (select from"
            " public.members as m where m.group_id = wanted and m.user_id ="
            f" (select auth.uid()){self.condition}) $$;"
        )


@dataclass(frozen=True)
class Parent:
    """The caller can read the row's parent; `owned`: and is its owner."""

    owned: bool = False

    def sql(self, table: "Table") -> str:
        """A subquery, to which the policies of the parent apply."""
        parent = table.parent
        assert parent is not None
        owner = f" and p.{parent.owner} = (select auth.uid())" if self.owned else ""
        return (
            f"exists (select from public.{parent.name} as p"
            f" where p.id = {table.name}.parent_id{owner})"
        )


@dataclass(frozen=True)
class Both:
    """Both conditions hold."""

    left: "Expression"
    right: "Expression"

    def sql(self, table: "Table") -> str:
        """A conjunction."""
        return f"({self.left.sql(table)} and {self.right.sql(table)})"


@dataclass(frozen=True)
class Either:
    """One of the conditions holds."""

    left: "Expression"
    right: "Expression"

    def sql(self, table: "Table") -> str:
        """A disjunction."""
        return f"({self.left.sql(table)} or {self.right.sql(table)})"


Expression = Everyone | Owner | Equals | Claim | Tenant | Member | Parent | Both | Either


def parts(expression: Expression) -> Iterator[Expression]:
    """An expression and those in it."""
    yield expression
    if isinstance(expression, Both | Either):
        yield from parts(expression.left)
        yield from parts(expression.right)


@dataclass(frozen=True)
class Policy:
    """A policy; `command` is `all` or one of the commands."""

    command: str
    roles: tuple[str, ...]
    using: Expression | None
    check: Expression | None
    permissive: bool = True

    def sql(self, table: "Table", number: int) -> str:
        """The statement that creates it."""
        kind = "" if self.permissive else " as restrictive"
        text = f'create policy "p{number}" on public.{table.name}{kind} for {self.command}'
        text += f" to {', '.join(self.roles) or 'public'}"
        if self.using is not None:
            text += f" using ({self.using.sql(table)})"
        if self.check is not None:
            text += f" with check ({self.check.sql(table)})"
        return f"{text};"

    @property
    def expressions(self) -> list[Expression]:
        """Its expressions, and those in them."""
        given = [one for one in (self.using, self.check) if one is not None]
        return [part for one in given for part in parts(one)]


@dataclass(frozen=True)
class Table:
    """A table with an `id`. `owner`, `group` and `parent` say to whom its rows belong, as far as
    they do. `columns` are further columns: name, definition and default; `constraints` further
    constraints. Without a `key` the table is made by the schema.

    `revoked` are privileges that a role lacks; `granted` are privileges that it has on these
    columns only.
    """

    name: str
    key: str = "id uuid primary key default gen_random_uuid()"
    owner: str | None = None
    owner_required: bool = True
    owner_default: bool = False
    group: str | None = None
    parent: "Table | None" = None
    composite: bool = False
    columns: tuple[tuple[str, str, str | None], ...] = ()
    constraints: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ()
    rls: bool = True
    revoked: frozenset[tuple[str, str]] = frozenset()
    granted: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        known = [self.owner, self.group, "parent_id" if self.parent else None]
        named = [name for name, _, _ in self.columns]
        id_ = ["id"] if self.key else []
        return list(dict.fromkeys([*id_, *(name for name in known if name), *named]))

    @property
    def plain(self) -> list[str]:
        """The columns that say nothing about whose a row is."""
        return [name for name, _, _ in self.columns if name != ORGANIZATION]

    def creation(self) -> Iterator[str]:
        """The statements that create it."""
        lines = [self.key]
        if self.owner:
            required = " not null" if self.owner_required else ""
            default = " default auth.uid()" if self.owner_default else ""
            lines.append(
                f"{self.owner} uuid{required}{default} references auth.users on delete cascade"
            )
        if self.group:
            lines.append(f"{self.group} uuid not null references public.groups on delete cascade")
        if self.parent:
            kind = "uuid" if "uuid" in self.parent.key else "bigint"
            lines.append(f"parent_id {kind} not null")
            if not self.composite:
                lines.append(f"foreign key (parent_id) references public.{self.parent.name} (id)")
        if self.parent and self.composite:
            same = self.parent.owner
            lines.append(
                f"foreign key (parent_id, {self.owner}) references public.{self.parent.name}"
                f" (id, {same})"
            )
        lines += [f"{name} {definition}" for name, definition, _ in self.columns]
        if self.owner:
            lines.append(f"unique (id, {self.owner})")
        lines += self.constraints
        yield f"create table public.{self.name} (\n  " + ",\n  ".join(lines) + "\n);"

    def access(self) -> Iterator[str]:
        """The statements that decide who may reach it."""
        if self.rls:
            yield f"alter table public.{self.name} enable row level security;"
        for number, policy in enumerate(self.policies):
            yield policy.sql(self, number)
        for role, privilege in sorted(self.revoked):
            yield f"revoke {privilege} on public.{self.name} from {role};"
        for role, privilege, columns in self.granted:
            yield f"revoke {privilege} on public.{self.name} from {role};"
            yield f"grant {privilege} ({', '.join(columns)}) on public.{self.name} to {role};"


@dataclass(frozen=True)
class Schema:
    """Tables, each behind its parent. With `groups`, there are `groups` and `members` too, which
    have these policies; `states`: a membership may be disabled.
    """

    tables: tuple[Table, ...]
    groups: Sequence[Table] = field(default=())
    states: bool = False

    @property
    def all(self) -> list[Table]:
        """All tables."""
        return [*self.groups, *self.tables]

    def sql(self) -> str:
        """The statements that create it."""
        statements = [PRELUDE]
        if self.groups:
            statements.append(GROUPS.format(state=STATE if self.states else ""))
        for table in self.tables:
            statements += table.creation()
        called = {
            part
            for table in self.all
            for policy in table.policies
            for part in policy.expressions
            if isinstance(part, Member) and part.how != INLINE
        }
        statements += sorted(member.creation() for member in called)
        for table in self.all:
            statements += table.access()
        return "\n".join(statements)
