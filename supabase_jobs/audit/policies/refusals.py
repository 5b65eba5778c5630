"""Actions that policies permit and something else refuses: a missing privilege, a recursion, or a
condition that nothing satisfies.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import chain, product
from typing import Any

from psycopg import sql

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.policies import expressions, parse_trees, truth

ROLES = ("anon", "authenticated")
_ACTIONS = ("select", "insert", "update", "delete")
# of all requests: a missing privilege, a policy that queries its own table, or a function that
# calls itself by the policies of its tables
_DENIED, _RECURSIONS = "42501", frozenset({"42P17", "54001"})
# where names of policies are found that the server prints without their schema
_SEARCH_PATH = sql.SQL("public, extensions, pg_temp")
_HELPERS = "private"


class Reason(StrEnum):
    """Why nobody gets what the policies of a table permit."""

    PRIVILEGE = "privilege"
    NEED = "needed"
    RECURSION = "recursion"
    UNREADABLE = "unreadable"
    NEVER = "never"
    NO_GRANT = "no-grant"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Actions on a table that policies permit to roles, and that always fail or reach no row.

    `policies` are the names of those that permit it, `missing` what the roles lack, such as
    "EXECUTE on private.is_member(uuid)". `repairs` are the statements that may end it, the best
    first, and `tables` and `functions` the oids of those that take part. `origin` is the table of
    the policies, '' if it is this one.
    """

    table: str
    reason: Reason
    actions: tuple[str, ...]
    roles: tuple[str, ...]
    policies: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    tables: frozenset[int] = frozenset()
    functions: frozenset[int] = frozenset()
    origin: str = ""


@dataclass(frozen=True)
class _Need:
    """A privilege that a policy needs besides that on its table; the oid of its table or function,
    0 for a schema.
    """

    name: str
    grant: str
    table: int = 0
    function: int = 0


def find(
    catalog: Catalog,
    relations: Collection[Relation],
    failures: Mapping[tuple[int, str, str], Collection[str]],
) -> Iterator[Refusal]:
    """The refusals on these tables. `failures` has the SQLSTATEs of actions, by the oid of the
    table, the action and the role, if all of them have failed.
    """
    reader = _Reader(catalog, failures)
    for relation in relations:
        if relation.is_table and relation.partition_of is None and not relation.is_storage:
            yield from reader.of_table(relation)


class _Reader:
    def __init__(
        self, catalog: Catalog, failures: Mapping[tuple[int, str, str], Collection[str]]
    ) -> None:
        self._catalog, self._failures = catalog, failures

    def of_table(self, relation: Relation) -> Iterator[Refusal]:
        if not relation.rls:
            return
        roles = [r for r in ROLES if r in self._catalog.roles]
        is_permissive = any(policy.permissive for policy in relation.policies)
        if not is_permissive and not _has_some(relation, _ALL):
            yield self._without_grant(relation)
            return
        yield from self._privileges(relation, roles)
        yield from self._needs(relation, roles)
        yield from self._recursions(relation, roles)
        yield from self._unreadable(relation, roles)
        yield from self._never(relation, roles)

    def _without_grant(self, relation: Relation) -> Refusal:
        grant = sql.SQL("grant select, insert, update, delete on {} to service_role;")
        return Refusal(
            table=relation.label,
            reason=Reason.NO_GRANT,
            actions=_ACTIONS,
            roles=_ALL,
            repairs=(grant.format(relation.identifier).as_string(None),),
        )

    def _privileges(self, relation: Relation, roles: Sequence[str]) -> Iterator[Refusal]:
        """Policies for roles without the privilege on the table, or on its schema."""
        lacking: dict[str, list[str]] = {}
        names: list[str] = []
        for role in roles:
            for action in _ACTIONS:
                permitting = self._permitting(relation, action, role)
                if not permitting or self._has(relation, role, action):
                    continue
                lacking.setdefault(role, []).append(action)
                names += [policy.name for policy in permitting]
        if not lacking:
            return
        actions = _in_order(chain(*lacking.values()))
        statements = []
        users = self._catalog.schema_users.get(relation.schema, ())
        outside = [role for role in lacking if role not in users]
        if outside:
            statements.append(_grant("usage", _schema(relation.schema), outside))
        for role, found in lacking.items():
            missing = [a for a in found if not relation.may(role, a.upper())]
            if missing:
                statements.append(_grant(", ".join(missing), relation.identifier, [role]))
        if not _has_some(relation, ["service_role"]):
            every = ", ".join(_ACTIONS)
            statements.append(_grant(every, relation.identifier, ["service_role"]))
        yield Refusal(
            table=relation.label,
            reason=Reason.PRIVILEGE,
            actions=actions,
            roles=tuple(lacking),
            policies=tuple(dict.fromkeys(names)),
            missing=tuple(a.upper() for a in actions),
            repairs=(_text(statements),),
            tables=frozenset({relation.oid}),
        )

    def _permitting(self, relation: Relation, action: str, role: str) -> list[Policy]:
        """The policies that permit an action to a role without the privilege.

        One for every role says nothing about anon, nor about a role if another one has the
        privilege; one for all actions nothing about those of a role that has some other privilege.
        """
        has_other = _has_some(relation, [role])
        is_for_other = any(self._has(relation, other, action) for other in ROLES)
        found = []
        for policy in relation.policies:
            if not policy.permissive or not policy.governs(action):
                continue
            is_general = "public" in policy.roles and is_for_other
            is_whole = policy.command == "*" and has_other
            if is_general or is_whole or not _is_meant(policy, role):
                continue
            if _may_admit(policy, action, role):
                found.append(policy)
        return found

    def _has(self, relation: Relation, role: str, action: str) -> bool:
        users = self._catalog.schema_users.get(relation.schema, ())
        return role in users and relation.may(role, action.upper())

    def _needs(self, relation: Relation, roles: Sequence[str]) -> Iterator[Refusal]:
        """Actions that always fail because a policy reads or calls what its role may not."""
        needs: dict[str, _Need] = {}
        broken: dict[str, set[str]] = {}
        names: list[str] = []
        for role in roles:
            for action in _ACTIONS:
                if _DENIED not in self._failures.get((relation.oid, action, role), ()):
                    continue
                lacking = {
                    policy.name: self._lacking(policy, role)
                    for policy in relation.policies
                    if policy.applies_to(role) and policy.governs(action)
                }
                broken_ones = [name for name, found in lacking.items() if found]
                admits = any(
                    policy.permissive
                    and policy.applies_to(role)
                    and policy.governs(action)
                    and (role != "anon" or not lacking[policy.name])
                    and _may_admit(policy, action, role)
                    for policy in relation.policies
                )
                if not broken_ones or not admits:
                    continue
                broken.setdefault(role, set()).add(action)
                names += broken_ones
                for found in lacking.values():
                    needs |= {need.grant: need for need in found}
        if broken:
            yield Refusal(
                table=relation.label,
                reason=Reason.NEED,
                actions=_in_order(chain(*broken.values())),
                roles=tuple(broken),
                policies=tuple(dict.fromkeys(names)),
                missing=tuple(dict.fromkeys(need.name for need in needs.values())),
                repairs=("\n".join(needs),),
                tables=frozenset({relation.oid, *(n.table for n in needs.values() if n.table)}),
                functions=frozenset(n.function for n in needs.values() if n.function),
            )

    def _lacking(self, policy: Policy, role: str) -> list[_Need]:
        """The privileges that a policy needs and a role lacks."""
        found: list[_Need] = []
        for tree in _trees(policy):
            found += self._lacking_in(tree, role, set(), is_parsed=True)
        return found

    def _lacking_in(
        self, tree: Any, role: str, known: set[int], *, is_parsed: bool
    ) -> Iterator[_Need]:
        """Those of an expression or a body. The schemas of an expression were looked up when its
        policy was created.
        """
        for name in sorted(parse_trees.tables(tree)):
            table = self._tables.get(name)
            if table is None:
                continue
            if not is_parsed:
                yield from self._lacking_usage(table.schema, role)
            if not table.may(role, "SELECT"):
                grant = _text([_grant("select", table.identifier, [role])])
                yield _Need(f"SELECT on {table.label}", grant, table=table.oid)
        for names in sorted(parse_trees.calls(tree)):
            for function in self._functions.get(".".join(names), ()):
                if function.oid in known:
                    continue
                known.add(function.oid)
                if not is_parsed:
                    yield from self._lacking_usage(function.schema, role)
                if role not in function.callers:
                    target = sql.SQL("function {}").format(sql.SQL(function.signature))
                    grant = _text([_grant("execute", target, [role])])
                    yield _Need(f"EXECUTE on {function.signature}", grant, function=function.oid)
                if not function.definer:
                    body = parse_trees.body_trees(function.language, function.body)
                    yield from self._lacking_in(body, role, known, is_parsed=False)

    def _lacking_usage(self, schema: str, role: str) -> Iterator[_Need]:
        users = self._catalog.schema_users.get(schema)
        if users is not None and role not in users:
            grant = _text([_grant("usage", _schema(schema), [role])])
            yield _Need(f"USAGE on schema {schema}", grant)

    def _recursions(self, relation: Relation, roles: Sequence[str]) -> Iterator[Refusal]:
        """Actions that always fail because policies query their own table."""
        failed = [
            (action, role)
            for role in roles
            for action in _ACTIONS
            if _RECURSIONS & set(self._failures.get((relation.oid, action, role), ()))
        ]
        policies = [
            policy
            for action, role in failed
            for policy in relation.policies
            if policy.governs(action)
            and policy.applies_to(role)
            and (self._read(policy) or self._invokers(policy))
        ]
        policies = list(dict.fromkeys(policies))
        if not policies:
            return
        tables = frozenset({relation.oid}.union(*map(self._read, policies)))
        source = self._querying_itself(tables)
        own = [] if source is None else self._of_itself(source)
        repaired = (relation, policies) if source is None else (source, source.policies)
        repairs = self._without_recursion(repaired[0], own, repaired[1])
        yield Refusal(
            table=relation.label,
            reason=Reason.RECURSION,
            actions=_in_order(action for action, _ in failed),
            roles=tuple(dict.fromkeys(role for _, role in failed)),
            policies=tuple(policy.name for policy in own or policies),
            origin=source.label if source is not None else "",
            repairs=tuple(dict.fromkeys(repairs)),
            tables=tables if source is None else tables | {source.oid},
            functions=frozenset(f.oid for policy in policies for f in self._invokers(policy)),
        )

    def _querying_itself(self, tables: Collection[int]) -> Relation | None:
        """The first table with policies that query it, among these and those that they query."""
        waiting, known = sorted(tables), set(tables)
        while waiting:
            table = self._catalog.by_oid[waiting.pop(0)]
            if self._of_itself(table):
                return table
            new = frozenset().union(*map(self._read, table.policies)) - known
            known |= new
            waiting += sorted(new)
        return None

    def _of_itself(self, table: Relation) -> list[Policy]:
        """The policies of a table that query it."""
        return [policy for policy in table.policies if table.oid in self._read(policy)]

    def _without_recursion(
        self, relation: Relation, own: Sequence[Policy], policies: Sequence[Policy]
    ) -> Iterator[str]:
        """The conditions of policies in functions that read the tables as their owner."""
        invokers = {f.signature for policy in policies for f in self._invokers(policy)}
        if invokers:
            alter = sql.SQL("alter function {} security definer set search_path = {};")
            statements = [alter.format(sql.SQL(name), _SEARCH_PATH) for name in sorted(invokers)]
            yield _text(statements)
        for chosen in (own, [policy for policy in policies if self._read(policy)]):
            if chosen:
                yield _text(self._in_functions(relation, chosen))

    def _in_functions(
        self, relation: Relation, policies: Iterable[Policy]
    ) -> Iterator[sql.Composed]:
        schema = self._helpers
        if schema not in self._catalog.schema_users:
            yield sql.SQL("create schema if not exists {};").format(sql.Identifier(schema))
        for policy in policies:
            stem = re.sub(r"\W+", "_", f"{relation.name}_{policy.name}".lower()).strip("_")
            clauses = []
            for word, text, end in (
                ("using", policy.visible, ""),
                ("with check", policy.checked, "_check"),
            ):
                if text is None:
                    continue
                name = sql.Identifier(schema, f"{stem[:50]}{end}")
                yield _CONDITION.format(
                    name=name,
                    table=relation.identifier,
                    path=_SEARCH_PATH,
                    text=sql.SQL(text),
                    alias=sql.Identifier(relation.name),
                    roles=sql.SQL(", ").join(map(sql.Identifier, ROLES)),
                )
                call = sql.SQL("{} ({}({}.*))")
                row = sql.Identifier(relation.name)
                clauses.append(call.format(sql.SQL(word), name, row))
            alter = sql.SQL("alter policy {} on {} {};")
            name = sql.Identifier(policy.name)
            yield alter.format(name, relation.identifier, sql.SQL(" ").join(clauses))

    @property
    def _helpers(self) -> str:
        """A schema that requests do not reach."""
        return _HELPERS if _HELPERS not in self._catalog.served else f"{_HELPERS}_helpers"

    def _read(self, policy: Policy) -> frozenset[int]:
        """The tables that the expressions of a policy query."""
        names = parse_trees.tables(_trees(policy))
        return frozenset(self._tables[name].oid for name in names if name in self._tables)

    def _invokers(self, policy: Policy) -> list[Function]:
        """The functions that a policy calls and that read tables as their caller."""
        names = parse_trees.calls(_trees(policy))
        return [
            function
            for name in sorted(names)
            for function in self._functions.get(".".join(name), ())
            if not function.definer
            and parse_trees.tables(parse_trees.body_trees(function.language, function.body))
        ]

    def _unreadable(self, relation: Relation, roles: Sequence[str]) -> Iterator[Refusal]:
        """Policies for UPDATE and DELETE of roles for which no policy permits to read."""
        actions: dict[str, list[str]] = {}
        found: list[Policy] = []
        for role in roles:
            if not relation.may(role, "SELECT") or _permissive(relation, "select", role):
                continue
            for action in ("update", "delete"):
                policies = [
                    policy
                    for policy in _permissive(relation, action, role)
                    if _is_meant(policy, role)
                    and _may_admit(policy, action, role)
                    and relation.may(role, action.upper())
                ]
                if policies:
                    actions.setdefault(role, []).append(action)
                    found += policies
        if not found:
            return
        statements = []
        for policy in dict.fromkeys(found):
            create = sql.SQL("create policy {} on {} for select to {} using ({});")
            statements.append(
                create.format(
                    sql.Identifier(f"{policy.name}: read"[:63]),
                    relation.identifier,
                    sql.SQL(", ").join(map(_role, policy.roles)),
                    sql.SQL(policy.visible or "true"),
                )
            )
        yield Refusal(
            table=relation.label,
            reason=Reason.UNREADABLE,
            actions=_in_order(chain(*actions.values())),
            roles=tuple(actions),
            policies=tuple(dict.fromkeys(policy.name for policy in found)),
            repairs=(_text(statements),),
            tables=frozenset({relation.oid}),
        )

    def _never(self, relation: Relation, roles: Sequence[str]) -> Iterator[Refusal]:
        """Policies whose condition no caller satisfies, though it is more than `false`, and whose
        copies for other roles admit nobody either.
        """
        found, actions, applying = [], list[str](), list[str]()
        for policy in relation.policies:
            cases = [
                (action, role)
                for action, role in product(_ACTIONS, roles)
                if policy.governs(action) and policy.applies_to(role)
            ]
            is_tried = policy.permissive and not _says_nobody(policy)
            if is_tried and cases and not _admits_some(relation, policy):
                found.append(policy)
                actions += [action for action, _ in cases]
                applying += [role for _, role in cases]
        if not found:
            return
        yield Refusal(
            table=relation.label,
            reason=Reason.NEVER,
            actions=_in_order(actions),
            roles=tuple(dict.fromkeys(applying)),
            policies=tuple(policy.name for policy in found),
            repairs=tuple(filter(None, [_text(_possible(relation, found))])),
            tables=frozenset({relation.oid}),
        )

    @cached_property
    def _tables(self) -> Mapping[str, Relation]:
        """The relations by their names, as the server prints them."""
        relations = self._catalog.relations
        return {r.name: r for r in relations} | {r.label: r for r in relations}

    @cached_property
    def _functions(self) -> Mapping[str, Sequence[Function]]:
        """The functions by their names, with and without their schema."""
        found: dict[str, list[Function]] = {}
        for function in self._catalog.functions:
            for name in (function.name, f"{function.schema}.{function.name}"):
                found.setdefault(name, []).append(function)
        return found


_ALL = (*ROLES, "service_role")
_CONDITION = sql.SQL(
    "create function {name}({table}) returns boolean language sql stable security definer"
    " set search_path = {path} as $$ select {text} from (select ($1).*) as {alias} $$;\n"
    "grant execute on function {name} to {roles};"
)


def _has_some(relation: Relation, roles: Iterable[str]) -> bool:
    """Whether one of these roles has a privilege on a table."""
    return any(relation.may(role, a.upper()) for role, a in product(roles, _ACTIONS))


def _in_order(actions: Iterable[str]) -> tuple[str, ...]:
    known = set(actions)
    return tuple(action for action in _ACTIONS if action in known)


def _trees(policy: Policy) -> list[Any]:
    """The parse trees of the expressions of a policy."""
    texts = [text for text in (policy.visible, policy.checked) if text is not None]
    return [parse_trees.expression_tree(text) for text in texts]


def _permissive(relation: Relation, action: str, role: str) -> list[Policy]:
    """The permissive policies for an action of a role."""
    return [
        policy
        for policy in relation.policies
        if policy.permissive and policy.applies_to(role) and policy.governs(action)
    ]


def _is_meant(policy: Policy, role: str) -> bool:
    """Whether a policy is for a role: one for every role says nothing about anon."""
    return role in policy.roles or ("public" in policy.roles and role != "anon")


def _may_admit(policy: Policy, action: str, role: str) -> bool:
    """Whether a policy may let some row of a role pass, as far as its text tells."""
    texts = [policy.visible] if action != "insert" else []
    if action in ("insert", "update"):
        texts.append(policy.checked or policy.visible)
    trees = [parse_trees.expression_tree(text) for text in texts if text is not None]
    return not any(truth.never_true(tree, role) for tree in trees)


def _admits_some(relation: Relation, policy: Policy) -> bool:
    """Whether a policy, or another one with its condition, may let some row of a role pass."""
    return any(
        _may_admit(other, action, role)
        for other in relation.policies
        if other.permissive and (other.visible, other.checked) == (policy.visible, policy.checked)
        for action, role in product(_ACTIONS, ROLES)
        if policy.governs(action) and other.governs(action) and other.applies_to(role)
    )


def _says_nobody(policy: Policy) -> bool:
    """Whether a policy says itself that it permits nothing: `false`, or another role's rows."""
    trees = _trees(policy)
    claims = {
        comparison.right.text
        for comparison in expressions.comparisons(trees)
        if comparison.left == expressions.Claim(("role",))
        and isinstance(comparison.right, expressions.Literal)
    }
    is_false = any(expressions.value(tree) == expressions.Literal("false") for tree in trees)
    return is_false or bool(claims & set(_ALL))


def _possible(relation: Relation, policies: Iterable[Policy]) -> Iterator[sql.Composed]:
    """Policies that compare the role of the app, not the role of the database."""
    for policy in policies:
        clauses = []
        for word, text in (("using", policy.visible), ("with check", policy.checked)):
            if text is None:
                continue
            new = text.replace("auth.role()", "(auth.jwt() ->> 'role')")
            new = new.replace(" ->> 'role'", " -> 'app_metadata' ->> 'role'")
            if new != text:
                clauses.append(sql.SQL("{} ({})").format(sql.SQL(word), sql.SQL(new)))
        if clauses:
            alter = sql.SQL("alter policy {} on {} {};")
            name = sql.Identifier(policy.name)
            yield alter.format(name, relation.identifier, sql.SQL(" ").join(clauses))


def _role(name: str) -> sql.Composable:
    return sql.SQL("public") if name == "public" else sql.Identifier(name)


def _schema(name: str) -> sql.Composed:
    return sql.SQL("schema {}").format(sql.Identifier(name))


def _grant(privileges: str, target: sql.Composable, roles: Iterable[str]) -> sql.Composed:
    to = sql.SQL(", ").join(map(sql.Identifier, roles))
    return sql.SQL("grant {} on {} to {};").format(sql.SQL(privileges), target, to)


def _text(statements: Iterable[sql.Composed]) -> str:
    return "\n".join(statement.as_string(None) for statement in statements)
