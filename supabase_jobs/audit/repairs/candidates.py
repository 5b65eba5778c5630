"""The statements that close leaks. All leaks of a policy have one statement, so that no fix undoes
another.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from psycopg import sql

from supabase_jobs.audit.callers import FORGER, FORMER, IMPOSTOR, INVITED
from supabase_jobs.audit.catalog import Column, Constraint, Function, Policy, Relation
from supabase_jobs.audit.leaks import give_away
from supabase_jobs.audit.leaks.leak import Repair
from supabase_jobs.audit.policies import parse_trees, printed, queries, truth
from supabase_jobs.audit.policies.tested import shows_only
from supabase_jobs.audit.probes.attempt import INSERT, JOIN, SELECT, UPDATE, Attempt
from supabase_jobs.audit.probes.known import Altered, altered_by
from supabase_jobs.audit.repairs import captured, guards, writes
from supabase_jobs.audit.repairs import ended as ended_rows
from supabase_jobs.audit.repairs.causes import USER_METADATA, Caused, drop, trusting
from supabase_jobs.audit.repairs.changes import Change
from supabase_jobs.audit.repairs.helpers import Missing, missing
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Ended
from supabase_jobs.findings import Holds, RowState, as_comment

# a policy whose name says that it is for the backend, which no policy restricts
_OF_SERVICE = re.compile(r"service[ _-]?role", re.IGNORECASE)
# Storage fills owner_id; `owner` is the former column
OWNERS_OF_FILES = ("owner_id", "owner")
_IS_SERVICE = "(select auth.role()) = 'service_role'"
_ASK_FOR_CLAIM = (
    "Users change their own user_metadata. Once app_metadata has this claim for those who should"
    " have it, run:"
)
_OWN_FOLDER = "(storage.foldername(name))[1] = (select auth.uid()::text)"


class Edit(StrEnum):
    """The change of a policy that a leak demands: drop it, or restrict one of its expressions."""

    DROP = "drop"
    DROP_UNLESS_RESTRICTED = "drop unless restricted"
    OWNER = "owner"
    OWNER_OF_NEW_ROWS = "owner of new rows"
    OWN_FOLDER = "own folder"
    READABLE_PARENT = "readable parent"
    WITHOUT_ALTERNATIVE = "without an alternative"
    APP_METADATA = "app_metadata"
    QUALIFIED = "qualified"


@dataclass(frozen=True, eq=False)
class Demand:
    """The edits that close a leak, and the text of the other fixes that it needs, such as a
    comment.

    `owner` is the condition of the edits that limit rows to their owner; by default
    `owner_condition`. `limited` is a function that changes only the rows of a table with this
    condition. `columns` are those that a role may no longer write: the table, the role, the
    privilege and their names; `further` are the same of other roles, and of views by which they are
    written. With a `guard`, a trigger refuses them unless the old row meets this condition, or the
    new one, if it is `of_new_rows`; `path` is its search_path. `bodies` are other bodies of
    functions. `text` changes these `tables` and `called` functions, by their oids, and only these
    `actions`, if they are given. `is_trigger`: it creates a trigger, whose effect only a whole
    trial shows.
    `trusting` are functions that read app_metadata instead of what users write. `asks` says what
    must be done before. `is_new`: it creates a policy that permits what nobody has decided yet.
    `is_of_service`: it drops policies that are for the backend by their names, so that what others
    do by them may end. `acting` are functions that then act with the rights of their callers.
    """

    edits: Sequence[tuple[Relation, Policy, Edit]] = ()
    marks: Sequence[tuple[Relation, Policy, Ended]] = ()
    functions: Sequence[tuple[Function, Ended | Missing]] = ()
    text: str = ""
    owner: str | None = None
    limited: tuple[Function, Relation, str] | None = None
    columns: tuple[Relation, str, str, frozenset[str]] | None = None
    further: Sequence[tuple[Relation, str, str, frozenset[str]]] = ()
    guard: str | None = None
    of_new_rows: bool = False
    path: str = guards.NO_PATH
    bodies: Sequence[tuple[Function, str]] = ()
    tables: frozenset[int] = frozenset()
    called: frozenset[int] = frozenset()
    actions: frozenset[Altered] | None = None
    is_trigger: bool = False
    trusting: Sequence[Function] = ()
    asks: str = ""
    is_new: bool = False
    is_of_service: bool = False
    acting: Sequence[Function] = ()

    @property
    def changed_tables(self) -> frozenset[int]:
        """The oids of the tables and views that it changes."""
        found = {relation.oid for relation, _, _ in (*self.edits, *self.marks)} | self.tables
        return frozenset(found | {relation.oid for relation, *_ in self.granted})

    @property
    def granted(self) -> list[tuple[Relation, str, str, frozenset[str]]]:
        """All columns that roles may no longer write."""
        return [*([] if self.columns is None else [self.columns]), *self.further]

    @property
    def altered(self) -> frozenset[Altered] | None:
        """The actions whose policies and privileges it changes; None if it changes more."""
        if self.redefined or (self.text and self.actions is None):
            return None
        found = set(self.actions or ())
        for relation, policy, _ in (*self.edits, *self.marks):
            found |= altered_by(relation, policy)
        found |= {(relation.oid, privilege.lower()) for relation, _, privilege, _ in self.granted}
        return frozenset(found)

    def changes_policies_of(self, other: "Demand") -> bool:
        """Whether both change a policy, so that its statement has the edits of both."""
        return bool(self._policies & other._policies)

    @property
    def _policies(self) -> frozenset[tuple[int, str]]:
        return frozenset((r.oid, policy.name) for r, policy, _ in (*self.edits, *self.marks))

    @property
    def mended(self) -> Function | None:
        """The function that it defines again, if it changes nothing else: the cause of a leak."""
        found = [*(function for function, _ in self.functions), *self.trusting]
        found += [function for function, _ in self.bodies]
        is_only = not (self.edits or self.marks or self.text or self.columns or self.limited)
        return found[0] if is_only and len({one.oid for one in found}) == 1 else None

    @property
    def asking(self) -> frozenset[str]:
        """The signatures of the functions that it lets ask who is a member where nothing did: what
        outsiders reach of others by that was meant for members, whatever it is.
        """
        return frozenset(f.signature for f, mark in self.functions if isinstance(mark, Missing))

    @property
    def changed_functions(self) -> frozenset[int]:
        """The oids of the functions that it changes."""
        return self.called | self.redefined

    @property
    def redefined(self) -> frozenset[int]:
        """The oids of the functions that it defines again."""
        found = {function.oid for function, _ in self.functions}
        found |= {function.oid for function in self.trusting}
        found |= {function.oid for function, _ in self.bodies}
        return frozenset(found if self.limited is None else found | {self.limited[0].oid})


@dataclass
class _Change:
    """All edits of a policy."""

    relation: Relation
    policy: Policy
    edits: set[Edit] = field(default_factory=set)
    marks: list[Ended] = field(default_factory=list)
    owner: str | None = None


@dataclass(frozen=True)
class _Expressions:
    """The expressions of a policy: USING and WITH CHECK."""

    visible: str | None
    checked: str | None

    def each(self, change: Callable[[str], str]) -> "_Expressions":
        """A change of both, as far as they exist."""
        return _Expressions(
            visible=self.visible and change(self.visible),
            checked=self.checked and change(self.checked),
        )


class Repairs:
    """The statements for demands, in which each policy has all the edits that are demanded of it.

    `definitions` maps the oids of functions to the statements that create them.
    """

    def __init__(
        self, plan: Plan, demands: Iterable[Demand], definitions: Mapping[int, str] | None = None
    ) -> None:
        self._plan, self._demands, self._definitions = plan, list(demands), definitions or {}

    def text(self, demand: Demand) -> str:
        """The statements that close a leak; comments where no statement can be derived."""
        keys = {(r.oid, p.name) for r, p, _ in (*demand.edits, *demand.marks)}
        changes: dict[tuple[int, str], _Change] = {}
        called: dict[int, list[Ended | Missing]] = {}
        known = [] if demand in self._demands else [demand]
        for other in (*self._demands, *known):
            for relation, policy, edit in other.edits:
                change = _change(changes, relation, policy)
                change.edits.add(edit)
                change.owner = other.owner or change.owner
            for relation, policy, mark in other.marks:
                _change(changes, relation, policy).marks.append(mark)
            for function, missing_one in other.functions:
                called.setdefault(function.oid, []).append(missing_one)
        parts = [demand.text] if demand.text else []
        if demand.columns is not None and demand.guard is not None:
            relation, role, _, columns = demand.columns
            record = "new" if demand.of_new_rows else "old"
            guard = guards.trigger(relation, role, columns, demand.guard, record, demand.path)
            parts.append(guard)
        else:
            parts += [self._columns(*columns) for columns in demand.granted]
        parts += [self._policy(change) for key, change in changes.items() if key in keys]
        for function in dict.fromkeys(function for function, _ in demand.functions):
            parts.append(self._function(function, called[function.oid]))
        for function in demand.trusting:
            parts.append(_without_metadata(self._definitions.get(function.oid, "")))
        for function, body in demand.bodies:
            definition = self._definitions.get(function.oid, "")
            parts.append(writes.with_body(function, definition, body))
        if demand.limited is not None:
            function, relation, condition = demand.limited
            definition = self._definitions.get(function.oid, "")
            parts.append(writes.limited(function, definition, relation, condition))
        return "\n".join(dict.fromkeys(part for part in parts if part))

    def _columns(
        self, relation: Relation, role: str, privilege: str, columns: frozenset[str]
    ) -> str:
        """The grant without the columns of all demands on a table and a role."""
        for demand in self._demands:
            if demand.guard is not None:
                continue
            for known in demand.granted:
                columns |= known[-1] if known[:3] == (relation, role, privilege) else frozenset()
        return without_columns(relation, columns, role, privilege)

    def _policy(self, change: _Change) -> str:
        """The statement that makes all edits of a policy; '' if they change nothing."""
        relation, policy, edits = change.relation, change.policy, change.edits
        if Edit.DROP in edits or (edits == {Edit.DROP_UNLESS_RESTRICTED} and not change.marks):
            return _text(drop(relation, policy))
        new = self._edited(change)
        return altered(relation, policy, new.visible, new.checked)

    def _edited(self, change: _Change) -> _Expressions:
        """The expressions of a policy after all edits, which follow one another."""
        relation, policy, edits = change.relation, change.policy, change.edits
        new = _Expressions(policy.visible, policy.checked)
        if Edit.APP_METADATA in edits:
            new = new.each(_of_app)
        if Edit.QUALIFIED in edits:
            found = captured.names(self._plan.catalog, relation, policy)
            new = new.each(lambda text: captured.qualified(text, relation, found))
        if change.marks:
            new = new.each(lambda text: ended_rows.with_condition(text, change.marks) or text)
        if Edit.WITHOUT_ALTERNATIVE in edits and change.owner is not None:
            new = new.each(lambda text: _without(text, change.owner or ""))
        owner = change.owner or owner_condition(self._plan, relation)
        if Edit.OWNER in edits and owner is not None:
            new = _limited_to_owner(new, owner)
        if Edit.OWNER_OF_NEW_ROWS in edits:
            limited = _limited(new.checked, owner or "false")
            new = replace(new, checked=new.visible if _limits_rows(policy) else limited)
        if Edit.OWN_FOLDER in edits:
            new = replace(new, checked=_limited(new.checked or new.visible, _OWN_FOLDER))
        if Edit.READABLE_PARENT in edits:
            accepted = new.checked or new.visible or "true"
            new = replace(new, checked=_with_readable_parent(self._plan, relation, accepted))
        return new

    def _function(self, function: Function, marks: Sequence[Ended | Missing]) -> str:
        """The statement that defines a function again, or what to add to it."""
        definition = self._definitions.get(function.oid)
        if definition is not None:
            statement = ended_rows.redefined(function, definition, marks)
            if statement is not None:
                return statement
        signature = function.signature
        return "\n".join(ended_rows.missing_condition(signature, m) for m in dict.fromkeys(marks))


def altered(relation: Relation, policy: Policy, visible: str | None, checked: str | None) -> str:
    """The statement that gives a policy other expressions; '' if they are the same."""
    clauses = []
    if policy.command != "a" and visible not in (None, policy.visible):
        clauses.append(sql.SQL("using ({})").format(sql.SQL(visible)))
    if policy.command in ("a", "w", "*") and checked not in (None, policy.checked):
        clauses.append(sql.SQL("with check ({})").format(sql.SQL(checked)))
    if not clauses:
        return ""
    alter = sql.SQL("alter policy {} on {} {};").format(
        sql.Identifier(policy.name), relation.identifier, sql.SQL(" ").join(clauses)
    )
    return _text(alter)


def restriction(
    plan: Plan,
    relation: Relation,
    policies: Sequence[Policy],
    action: str,
    role: str,
    *,
    may_drop: bool = False,
) -> Demand:
    """Restrict policies to the tenant or owner of a row.

    With `may_drop`, remove those beside which others remain. Remove a policy if no column names an
    owner.
    """
    if not policies:
        revoke = sql.SQL("revoke {} on {} from {};")
        return Demand(
            text=_text(revoke.format(sql.SQL(action), relation.identifier, sql.Identifier(role)))
        )
    edits = []
    for policy in policies:
        others = [p for p in relation.policies if p not in policies and _serves(p, policy, role)]
        edit = _restricting(plan, relation, policy, action, may_drop=may_drop and bool(others))
        edits.append((relation, policy, edit))
    return Demand(edits=edits)


def _serves(other: Policy, policy: Policy, role: str) -> bool:
    """Whether another policy lets rows pass where this one does."""
    return other.permissive and other.applies_to(role) and other.command in ("*", policy.command)


def _restricting(
    plan: Plan, relation: Relation, policy: Policy, action: str, *, may_drop: bool
) -> Edit:
    """The edit that restricts a policy; with `may_drop`, others serve the same callers."""
    if relation.is_storage and action == INSERT:
        return Edit.OWN_FOLDER  # Storage makes the caller the owner, wherever the file is
    of_new_rows = action == INSERT and policy.checked is not None
    if of_new_rows and _limits_rows(policy):
        return Edit.OWNER_OF_NEW_ROWS
    if owner_condition(plan, relation) is None or (may_drop and policy.command != "*"):
        return Edit.DROP
    return Edit.OWNER_OF_NEW_ROWS if of_new_rows else Edit.OWNER


def refusal(relation: Relation, policies: Sequence[Policy], action: str) -> Demand:
    """Refuse new rows, or a DELETE, that open something to their caller, by policies that have no
    other use.
    """
    return Demand(edits=[(relation, policy, _refusing(policy, action)) for policy in policies])


def _refusing(policy: Policy, action: str) -> Edit:
    if action != INSERT:
        return Edit.DROP
    if policy.checked and _limits_rows(policy):
        return Edit.OWNER_OF_NEW_ROWS
    return Edit.READABLE_PARENT if policy.command == "*" else Edit.DROP


def without_ended(
    plan: Plan, relation: Relation, policies: Sequence[Policy], mark: Ended, role: str
) -> Demand:
    """Leave out the rows that have ended where policies, or functions that they call, read all of
    them.
    """
    marks, functions = [], []
    given = [(relation, policy) for policy in policies]
    for table, policy in ended_rows.policies(plan.catalog, given, role):
        texts = [text for text in (policy.visible, policy.checked) if text]
        if any(ended_rows.with_condition(text, [mark]) for text in texts):
            marks.append((table, policy, mark))
        functions += [
            (function, mark) for function in ended_rows.functions(plan, table, policy, mark)
        ]
    if marks or functions:
        return Demand(edits=(), marks=marks, functions=functions)
    names = ", ".join(f'policy "{policy.name}"' for policy in policies) or relation.label
    return Demand(text=ended_rows.missing_condition(names, mark))


def _other_marks(plan: Plan, mark: Ended) -> list[Ended]:
    """How a membership says otherwise that it has ended or has not begun."""
    membership = plan.memberships.get(mark.relation.oid)
    if membership is None:
        return []
    known = [Ended(mark.relation, *one) for one in (membership.former, membership.invited) if one]
    return [other for other in known if other != mark]


def owner_condition(plan: Plan, relation: Relation) -> str | None:
    """The first of `owner_conditions`."""
    return next(iter(owner_conditions(plan, relation)), None)


def owner_conditions(plan: Plan, relation: Relation) -> list[str]:
    """The conditions that a row belongs to the caller, the most probable one first: by a claim, a
    user's id, or a parent that the caller can read.
    """
    claimed = [c for c in relation.columns if (relation.oid, c.name) in plan.usage.claim_columns]
    found = [_claim_of(c, plan.usage.claim_columns[relation.oid, c.name]) for c in claimed]
    persons = [_is_caller(relation, name) for name in named_persons(plan, relation)]
    found += persons
    if len(persons) > 1:
        found.append(sql.SQL("({})").format(sql.SQL(" or ").join(persons)))
    if through := _of_own_parent(plan, relation):
        found.append(through)
    if parents := _parents(plan, relation, required=True):
        found.append(sql.SQL(" and ").join(parents))
    found += _owned_parents(plan, relation)
    return list(dict.fromkeys(map(_text, found)))


def named_persons(plan: Plan, relation: Relation) -> list[str]:
    """The columns that hold a user, the most probable owner first."""
    filled = [c for c in OWNERS_OF_FILES if relation.is_storage and c in relation.by_name]
    if filled:
        return filled
    users = [c.name for c in relation.columns if (relation.oid, c.name) in plan.usage.persons.users]
    return sorted(users, key=lambda name: _rank_of_person(plan, relation, name))


def authors(plan: Plan, relation: Relation, names: Collection[str]) -> list[str]:
    """Those of some columns that most probably name who adds a row; several if nothing tells them
    apart.
    """
    ranks = {name: _rank_of_person(plan, relation, name) for name in names}
    return [name for name in names if ranks[name] == min(ranks.values())]


def _rank_of_person(plan: Plan, relation: Relation, name: str) -> tuple[bool, ...]:
    """The order of the columns that hold a user: first those that policies compare with the caller,
    those that the caller fills by default, and those that name the author.
    """
    key, persons = (relation.oid, name), plan.usage.persons
    return (
        key not in persons.checked,
        key not in persons.owners,
        "uid()" not in (relation.by_name[name].default or ""),
        not plan.words.author_columns.matches(name),
    )


def _is_caller(relation: Relation, column: str, *, of: str = "") -> sql.Composable:
    """Whether a column has the id of the caller."""
    name = sql.Identifier(of, column) if of else sql.Identifier(column)
    text = (
        "{} = (select auth.uid())"
        if relation.by_name[column].base == "uuid"
        else "{} = (select auth.uid()::text)"
    )
    return sql.SQL(text).format(name)


def _of_own_parent(plan: Plan, relation: Relation) -> sql.Composable | None:
    """The condition that a row refers to the caller's row of a table that has one row for each
    user.
    """
    for key in relation.foreign_keys:
        parent = plan.catalog.by_oid.get(key.target or 0)
        if parent is None or parent.oid not in plan.per_user or len(key.columns) != 1:
            continue
        users = user_columns(parent, plan.usage, frozenset())
        if key.target_columns[0] in users:
            return _is_caller(relation, key.columns[0])
        if users and not _queries(plan, parent, relation):
            text = "exists (select 1 from {} as parent where parent.{} = {}.{} and {})"
            return sql.SQL(text).format(
                parent.identifier,
                sql.Identifier(key.target_columns[0]),
                sql.Identifier(relation.name),
                sql.Identifier(key.columns[0]),
                _is_caller(parent, users[0], of="parent"),
            )
    return None


def _with_readable_parent(plan: Plan, relation: Relation, checked: str) -> str:
    """Require that the caller can read the parent: its policies apply inside the subquery.

    No row is accepted if the policies of the parent query this table: a policy here that queries
    the parent has no end.
    """
    parents = _parents(plan, relation, required=False)
    return _text(sql.SQL(" and ").join([sql.SQL(f"({checked})"), *parents])) if parents else "false"


def _parents(plan: Plan, relation: Relation, *, required: bool) -> list[sql.Composable]:
    """Conditions that the caller can read the owned rows that a row refers to; with `required`,
    that it must have.
    """
    found: list[sql.Composable] = []
    for key in relation.foreign_keys:
        parent = plan.catalog.by_oid.get(key.target or 0)
        if (
            parent is None
            or not plan.owned(parent)
            or parent.oid in plan.per_user
            or parent is relation
        ):
            continue
        if required and not all(relation.by_name[c].not_null for c in key.columns):
            continue
        if _queries(plan, parent, relation):
            continue
        exists = sql.SQL("exists (select 1 from {} as parent where {})")
        condition = exists.format(parent.identifier, _same(relation, key))
        optional = [c for c in key.columns if not relation.by_name[c].not_null]
        if optional:
            absent = [sql.SQL("{} is null").format(sql.Identifier(c)) for c in optional]
            condition = sql.SQL("({})").format(sql.SQL(" or ").join([*absent, condition]))
        found.append(condition)
    return found


def _through_queried(relation: Relation, plan: Plan, policies: Sequence[Policy]) -> list[str]:
    """The condition that the caller can read a row's parents that these policies query: who reads
    the parent was to read the row, whoever wrote it.
    """
    trees = [parse_trees.expression_tree(text) for p in policies for text in _texts(p)]
    queried = parse_trees.tables(trees)
    targets = [plan.catalog.by_oid.get(key.target or 0) for key in relation.foreign_keys]
    if not any(t is not None and {t.name, t.label} & queried for t in targets):
        return []
    parents = _parents(plan, relation, required=True)
    return [_text(sql.SQL(" and ").join(parents))] if parents else []


def _texts(policy: Policy) -> list[str]:
    return [text for text in (policy.visible, policy.checked) if text]


def _owned_parents(plan: Plan, relation: Relation) -> Iterator[sql.Composable]:
    """Conditions that the row that a row must refer to belongs to the caller, for those that
    everybody reads.
    """
    for key in relation.foreign_keys:
        parent = plan.catalog.by_oid.get(key.target or 0)
        if parent is None or parent is relation or _queries(plan, parent, relation):
            continue
        if parent.oid in plan.per_user or not all(
            relation.by_name[c].not_null for c in key.columns
        ):
            continue
        for name in named_persons(plan, parent)[:1]:
            owner = _is_caller(parent, name, of="parent")
            exists = sql.SQL("exists (select 1 from {} as parent where {} and {})")
            yield exists.format(parent.identifier, _same(relation, key), owner)


def _same(relation: Relation, key: Constraint) -> sql.Composable:
    """Whether the row `parent` is the one that a row refers to."""
    return sql.SQL(" and ").join(
        sql.SQL("parent.{} = {}.{}").format(
            sql.Identifier(at), sql.Identifier(relation.name), sql.Identifier(own)
        )
        for own, at in zip(key.columns, key.target_columns, strict=True)
    )


def _queries(plan: Plan, start: Relation, target: Relation) -> bool:
    """Whether the policies of a table query another one as the caller: a policy there that queries
    it has no end.
    """
    given = [(start, policy) for policy in start.policies if policy.command in ("r", "*")]
    reached = [
        relation
        for role in ("anon", "authenticated")
        for relation, _ in ended_rows.policies(plan.catalog, given, role)
    ]
    return target in reached


def _limited_to_owner(expressions_: _Expressions, owner: str) -> _Expressions:
    """Limit what a policy shows. A condition for new rows that is more than `true` stays as it is,
    unless it lets a leak pass.
    """
    visible, checked = _limited(expressions_.visible, owner), expressions_.checked
    if checked is None or _is_open(checked):
        checked = visible
    return _Expressions(visible, checked)


def _limited(text: str | None, owner: str) -> str:
    """A condition and that of the owner; the latter alone if the caller can choose what the
    condition reads.
    """
    if text is None or _is_open(text) or USER_METADATA in text:
        return owner
    return f"({text}) and {owner}"


def _limits_rows(policy: Policy) -> bool:
    """Whether a policy for all commands lets callers reach some rows only: new rows can be limited
    in the same way.
    """
    return policy.command == "*" and policy.visible is not None and not _is_open(policy.visible)


def _is_open(text: str) -> bool:
    return truth.always_true(parse_trees.expression_tree(text), "authenticated")


def _claim_of(column: Column, path: Sequence[str]) -> sql.Composable:
    """Compare a column with a claim; user_metadata is no claim that the project controls."""
    names = ["app_metadata" if name == "user_metadata" else name for name in path]
    claim: sql.Composable = sql.SQL("(select auth.jwt())")
    for name in names[:-1]:
        claim += sql.SQL(" -> {}").format(sql.Literal(name))
    claim += sql.SQL(" ->> {}").format(sql.Literal(names[-1]))
    return sql.SQL("{} = ({})::{}").format(column.identifier, claim, sql.SQL(column.type))


def _question_of_columns(relation: Relation, role: str) -> str:
    """The grant of the columns that the app lets its users change, which nothing else knows."""
    revoke = sql.SQL("revoke update on {0} from {1};\ngrant update (…) on {0} to {1};").format(
        relation.identifier, sql.Identifier(role)
    )
    ask = "Which columns does the app let its users change? Grant only these:"
    return as_comment(f"{ask}\n{_text(revoke)}")


def without_columns(
    relation: Relation, columns: Collection[str], role: str, privilege: str = "update"
) -> str:
    """Leave columns out of those that a role may write: a grant on the table includes all."""
    others = [
        c
        for c in relation.columns
        if c.name not in columns and relation.may(role, privilege.upper(), c.name)
    ]
    others = [c for c in others if not c.generated]
    to = sql.Identifier(role)
    revoke = sql.SQL("revoke {} on {} from {};").format(sql.SQL(privilege), relation.identifier, to)
    if not others:
        return _text(revoke)
    grant = sql.SQL(" grant {} ({}) on {} to {};").format(
        sql.SQL(privilege),
        sql.SQL(", ").join(c.identifier for c in others),
        relation.identifier,
        to,
    )
    return _text(revoke + grant)


def _change(changes: dict[tuple[int, str], _Change], relation: Relation, policy: Policy) -> _Change:
    return changes.setdefault(
        (relation.oid, policy.name), _Change(relation=relation, policy=policy)
    )


def _text(composed: sql.Composable) -> str:
    return composed.as_string(None)


# -------------------------------------------------------------------------------------------------
# alternatives


def alternatives(plan: Plan, one: Caused) -> Iterator[Demand]:
    """The changes that may close a leak, in the order in which they are tried."""
    relation, action = one.relation, one.attempt.action
    role, policies = one.attempt.caller.role, one.policies
    mark, repair = one.attempt.caller.ended, one.leak.kind.repair
    for change in (one.change, one.guard):
        if change is not None:
            yield from _undoing(plan, change, role)
    if one.change is not None and one.change.advice:
        return
    if repair is Repair.ENABLE_ROW_SECURITY:
        yield from _enabling(plan, relation)
        return
    if repair is Repair.SOME_COLUMNS and action == INSERT:
        yield from _as_changed(relation, policies, role, one.leak.columns)
        return
    if repair is Repair.SOME_COLUMNS:
        if one.leak.columns and _is_set_elsewhere(plan, one):
            yield from _keeping(plan, relation, role, action, frozenset(one.leak.columns))
        yield Demand(text=_question_of_columns(relation, role))
        return
    if repair is Repair.OLD_ROW:
        for policy in policies:
            if policy.checked and policy.command == "w":
                condition = f"({policy.checked})"
                yield replace(edited(relation, [policy], Edit.OWNER), owner=condition)
        return
    if repair is Repair.OTHER_COMMAND:
        yield from _as_other_commands(relation, policies, role)
        return
    is_inactive = one.attempt.caller.kind in (FORMER, INVITED)
    if is_inactive and mark is not None and repair is not Repair.REFUSE:
        ended = without_ended(plan, relation, policies, mark, role)
        yield ended
        for other in _other_marks(plan, mark):  # both may be let in by one helper
            also = without_ended(plan, relation, policies, other, role)
            marks, functions = [*ended.marks, *also.marks], [*ended.functions, *also.functions]
            if not (ended.text or also.text):
                yield replace(ended, marks=marks, functions=functions)
    if one.attempt.caller.kind in (FORGER, IMPOSTOR):
        demand = _of_app_metadata(plan, one)
        if demand is not None:
            yield demand
            return  # any other condition leaves the claim to the user
    if policies and all(_OF_SERVICE.search(policy.name) for policy in policies):
        yield replace(edited(relation, policies, Edit.DROP), is_of_service=True)
    for lacking in missing(plan, relation, policies):
        yield Demand(functions=[lacking])
    for policy in policies:
        if captured.names(plan.catalog, relation, policy):
            yield edited(relation, [policy], Edit.QUALIFIED)
    state = one.attempt.row.part
    if action != INSERT and state is not None and one.attempt.is_state:
        for condition in outside_of_state(relation, policies, state):
            yield replace(edited(relation, policies, Edit.OWNER), owner=condition)
    is_extra = one.droppable and _remain(relation, policies, role)
    asked = any(_asks_elsewhere(policy) for policy in policies)
    if policies and (one.is_deviation or (is_extra and not asked)):
        yield edited(relation, policies, Edit.DROP)
    # each person whom the row names changes its other columns, too
    if one.leak.kind is not give_away.KIND:
        yield from _fewer_alternatives(relation, policies)
    # without a column that each new row must have, or by which policies accept it, nobody adds rows
    is_of_column = one.is_of_column
    if is_of_column and action == INSERT:
        accepting = [p for p in relation.policies if p.permissive and p.governs(INSERT)]
        is_needed = any(_names(p.checked or p.visible or "", one.column) for p in accepting)
        is_of_column = not (is_needed or relation.by_name[one.column].is_demanded)
    if is_of_column:
        columns = frozenset({one.column})
        yield from _keeping(plan, relation, role, action, columns)
    if repair is Repair.REFUSE and policies:
        yield from _with_other_labels(plan, relation, policies, one.attempt)
        yield refusal(relation, policies, action)
    if (repair is Repair.READABLE_PARENT or one.attempt.name == JOIN) and policies:
        yield from _as_old_rows(relation, policies, one.attempt)
        is_moved = action == UPDATE and bool(one.attempt.column)
        # the policy for new rows may ask more of the row above
        if not (is_moved and _asked_of_new(relation, role, one.attempt.column)):
            yield edited(relation, policies, Edit.READABLE_PARENT)
        if is_moved:
            yield from _with_readable_new_parent(plan, relation, role, one.attempt.column)
    if relation.is_storage and action == INSERT and (paths := _of_files(relation, policies, role)):
        for condition in paths:
            limited = edited(relation, policies, Edit.OWNER_OF_NEW_ROWS)
            yield replace(limited, owner=condition)
        return  # paths of another form than that of folders of users
    demand = restriction(plan, relation, policies, action, role)
    if not demand.edits:
        yield demand
        return
    conditions = _through_queried(relation, plan, policies)
    conditions += [c for c in owner_conditions(plan, relation) if c not in conditions]
    conditions += _of_others(plan, relation, policies, conditions)
    for condition in conditions:
        yield replace(demand, owner=condition)
    if not conditions:
        yield demand
    if action in (INSERT, UPDATE):
        of_new_rows = [p for p in policies if p.command == "*" or action == UPDATE]
        for condition in conditions if of_new_rows else ():
            limited = edited(relation, of_new_rows, Edit.OWNER_OF_NEW_ROWS)
            yield replace(limited, owner=condition)
    # one for Storage would limit the files of all buckets
    for condition in () if relation.is_storage else conditions:
        yield _restrictive(relation, one, condition)
    if one.is_deviation or not asked:
        yield edited(relation, policies, Edit.DROP)


def _keeping(
    plan: Plan, relation: Relation, role: str, action: str, columns: frozenset[str]
) -> Iterator[Demand]:
    """Columns that a role may write no more, or only in rows that it changes by another condition:
    the staff decides about what users may not.
    """
    further = [*_of_other_roles(relation, role, action, columns)]
    further += [*_by_views(plan, relation, action, columns)]
    if action == INSERT and not any(view is not relation for view, *_ in further):
        yield _with_defaults(relation, columns)
    yield Demand(columns=(relation, role, action, columns), further=further)
    if action == UPDATE:
        for condition in guards.conditions(relation, role):
            yield from _guarded((relation, role, action, columns), condition)


def _with_defaults(relation: Relation, columns: Collection[str]) -> Demand:
    """A further policy by which new rows have the defaults of columns, which requests may still
    name, as an app does.
    """
    tests = []
    for name in sorted(columns):
        column = relation.by_name[name]
        default = sql.SQL(column.default or "null")
        tests.append(sql.SQL("{} is not distinct from {}").format(column.identifier, default))
    text = sql.SQL(
        "create policy {} on {} as restrictive for insert to anon, authenticated with check ({});"
    ).format(
        sql.Identifier(f"{relation.name}: new rows with the default {', '.join(sorted(columns))}"),
        relation.identifier,
        sql.SQL(" and ").join(tests),
    )
    return Demand(
        text=_text(text),
        tables=frozenset({relation.oid}),
        actions=frozenset({(relation.oid, INSERT)}),
    )


def _of_other_roles(
    relation: Relation, role: str, action: str, columns: frozenset[str]
) -> Iterator[tuple[Relation, str, str, frozenset[str]]]:
    """The same columns of the other role of the API, if a policy lets it write rows, too: guests
    have orders as well.
    """
    other = "anon" if role == "authenticated" else "authenticated"
    policies = [p for p in relation.policies if p.permissive and p.applies_to(other)]
    may = any(relation.may(other, action.upper(), name) for name in columns)
    if may and any(policy.governs(action) for policy in policies):
        yield relation, other, action, columns


def _by_views(
    plan: Plan, relation: Relation, action: str, columns: frozenset[str]
) -> Iterator[tuple[Relation, str, str, frozenset[str]]]:
    """The columns of these names of views by which roles write the table as its owner."""
    for view in plan.catalog.relations:
        reads = plan.usage.reads.get(view.oid, set())
        if view.kind != "v" or view.invoker or relation.oid not in reads:
            continue
        named = frozenset(columns & view.by_name.keys())
        for role in ("anon", "authenticated"):
            if any(view.may(role, action.upper(), name) for name in named):
                yield view, role, action, named


def _with_readable_new_parent(
    plan: Plan, relation: Relation, role: str, column: str
) -> Iterator[Demand]:
    """A reference that changes only to a row that the caller can read; the row may stay below one
    that it cannot read.
    """
    keys = tuple(key for key in relation.foreign_keys if column in key.columns)
    moved = replace(relation, constraints=keys)
    asked = _asked_of_new(relation, role, column)
    for condition in _parents(plan, moved, required=False):
        columns = (relation, role, UPDATE, frozenset({column}))
        guard = f"{_text(condition)} and {asked}" if asked else _text(condition)
        yield from _guarded(columns, guard, of_new_rows=True)


def _guarded(
    columns: tuple[Relation, str, str, frozenset[str]], guard: str, *, of_new_rows: bool = False
) -> Iterator[Demand]:
    """A trigger that finds what has a schema in its text; then one for conditions whose functions
    find tables by the search_path of the request.
    """
    for path in (guards.NO_PATH, guards.PATH):
        yield Demand(columns=columns, guard=guard, of_new_rows=of_new_rows, path=path)


def _asked_of_new(relation: Relation, role: str, column: str) -> str:
    """The conditions of policies for new rows on the row to which a column refers, such as that a
    meeting is not over; '' if one of them has none.
    """
    found = []
    for policy in relation.policies:
        if policy.permissive and policy.applies_to(role) and policy.governs(INSERT):
            text = policy.checked or policy.visible or "true"
            parts = [p for p in printed.operands(text, "AND") if _names(p, column)]
            found.append(" and ".join(f"({part})" for part in parts))
    return f"({' or '.join(found)})" if found and all(found) else ""


def _is_set_elsewhere(plan: Plan, one: Caused) -> bool:
    """Whether a function sets the columns that a leak is about, or others may by another condition:
    then somebody else decides about them.
    """
    keys = {(one.relation.oid, name) for name in one.leak.columns}
    if any(keys <= found for found in plan.usage.bodies.sets.values()):
        return True
    return len(guards.alternatives(one.relation, one.attempt.caller.role)) > 1


def outside_of_state(
    relation: Relation, policies: Sequence[Policy], state: RowState
) -> Iterator[str]:
    """The conditions that a row is not in a state of its own; none if one of the policies demands
    that state: no row would be left.
    """
    for column in state.columns:
        if not column.is_own or column.name not in relation.by_name:
            continue
        if any(shows_only(relation, policy, column.name, column.value) for policy in policies):
            continue
        own = relation.by_name[column.name]
        if column.holds is Holds.NULL:
            yield _text(sql.SQL("{} is not null").format(own.identifier))
        elif column.holds is Holds.EQUAL:
            text = sql.SQL("{} is distinct from {}::{}")
            literal = sql.Literal(column.value)
            yield _text(text.format(own.identifier, literal, sql.SQL(own.type)))


def _of_app_metadata(plan: Plan, one: Caused) -> Demand | None:
    """The policies and the functions that they call with app_metadata instead of user_metadata;
    None if they read none.
    """
    found = trusting(plan, one.relation, one.policies)
    if not found:
        return None
    policies = [policy for policy in found if isinstance(policy, Policy)]
    return replace(
        edited(one.relation, policies, Edit.APP_METADATA),
        trusting=[function for function in found if isinstance(function, Function)],
        asks=_ASK_FOR_CLAIM,
    )


def _of_app(text: str) -> str:
    return text.replace(USER_METADATA, "'app_metadata'")


def _without_metadata(definition: str) -> str:
    """The statement that defines a function again, with app_metadata."""
    return f"{_of_app(definition).rstrip().rstrip(';')};" if definition else ""


def _as_other_commands(
    relation: Relation, policies: Sequence[Policy], role: str
) -> Iterator[Demand]:
    """The policies with the conditions of those for the other commands that change rows."""
    others = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    for other in others:
        condition = other.checked or other.visible
        if other not in policies and other.command != "r" and condition:
            yield replace(edited(relation, policies, Edit.OWNER), owner=f"({condition})")


def _as_changed(
    relation: Relation, policies: Sequence[Policy], role: str, columns: Sequence[str]
) -> Iterator[Demand]:
    """The policies for new rows with what those for changed ones demand of some columns."""
    changing = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    texts = [p.checked or p.visible or "" for p in changing if p.governs(UPDATE)]
    for part in dict.fromkeys(part for text in texts for part in printed.operands(text, "AND")):
        references = queries.references(parse_trees.expression_tree(part))
        if {one.column for one in references} & {*columns}:
            yield replace(edited(relation, policies, Edit.OWNER_OF_NEW_ROWS), owner=f"({part})")


def _undoing(plan: Plan, change: Change, role: str) -> Iterator[Demand]:
    """The statements without a change; a policy is dropped, or limited to owners."""
    if change.advice:
        yield Demand(text=as_comment(change.advice))
        return
    if change.dropped is None:
        yield Demand(
            text=change.text,
            tables=change.tables,
            called=change.functions,
            is_trigger=change.is_trigger,
        )
        return
    relation, policy = change.dropped
    yield edited(relation, [policy], Edit.DROP)
    demand = restriction(plan, relation, [policy], SELECT, role)
    for condition in owner_conditions(plan, relation) if demand.edits else ():
        yield replace(demand, owner=condition)


def edited(relation: Relation, policies: Sequence[Policy], edit: Edit) -> Demand:
    """The same edit of several policies."""
    return Demand(edits=[(relation, policy, edit) for policy in policies])


def _as_old_rows(
    relation: Relation, policies: Sequence[Policy], attempt: Attempt
) -> Iterator[Demand]:
    """The demands of a policy on a column of old rows that it does not make of new ones: an update
    that moves its row leaves them.
    """
    for policy in policies if len(policies) == 1 and attempt.action == UPDATE else ():
        known = printed.operands(policy.checked or "true", "AND")
        left_out = [
            f"({part})"
            for part in printed.operands(policy.visible or "true", "AND")
            if part not in known and _names(part, attempt.column)
        ]
        if policy.checked and left_out:
            limited = edited(relation, policies, Edit.OWNER_OF_NEW_ROWS)
            yield replace(limited, owner=" and ".join(left_out))


def _of_files(relation: Relation, policies: Sequence[Policy], role: str) -> list[str]:
    """The conditions on the path of a file of other policies of the same buckets."""
    texts = [text for policy in policies for text in _texts(policy)]
    known = {part for text in texts for part in printed.operands(text, "AND")}
    buckets = {part for part in known if _names(part, "bucket_id")}
    found = []
    for other in relation.policies:
        parts = printed.operands(other.visible or other.checked or "", "AND")
        is_same = bool(buckets.intersection(parts)) and other not in policies
        if is_same and other.permissive and other.applies_to(role):
            found += [f"({p})" for p in parts if _names(p, "name") and p not in known]
    return list(dict.fromkeys(found))


def _names(text: str, column: str) -> bool:
    """Whether a condition names a column."""
    found = queries.references(parse_trees.expression_tree(text))
    return any(one.column == column for one in found)


def _fewer_alternatives(relation: Relation, policies: Sequence[Policy]) -> Iterator[Demand]:
    """The policies without one of the conditions that each suffice."""
    texts = [text for p in policies for text in (p.visible, p.checked) if text]
    for text in dict.fromkeys(texts):
        parts = printed.operands(text, "OR")
        for part in parts if len(parts) > 1 else ():
            yield replace(edited(relation, policies, Edit.WITHOUT_ALTERNATIVE), owner=part)


def _without(text: str, part: str) -> str:
    """An expression without one of the operands of its OR."""
    parts = printed.operands(text, "OR")
    if part not in parts or len(parts) == 1:
        return text
    return " or ".join(f"({other})" for other in parts if other != part)


def _with_other_labels(
    plan: Plan, relation: Relation, policies: Sequence[Policy], attempt: Attempt
) -> Iterator[Demand]:
    """New rows without a label of the one that opens something, such as the role of an
    administrator: people still add their own row as they sign up.
    """
    limits = plan.limits.get(relation.oid, {})
    for name, label in attempt.written.items() if attempt.action == INSERT else ():
        column = relation.by_name[name]
        known = (limits[name].allowed if name in limits else ()) or column.labels
        if label in known and name in plan.usage.mentions.words:
            text = sql.SQL("{} is distinct from {}::{}")
            condition = text.format(column.identifier, sql.Literal(label), sql.SQL(column.type))
            limited = edited(relation, policies, Edit.OWNER_OF_NEW_ROWS)
            yield replace(limited, owner=f"({_text(condition)})")


def _asks_elsewhere(policy: Policy) -> bool:
    """Whether a policy asks a function or another table who its caller is. Whom it is for may not
    be among the callers of the audit, so no trial shows what is lost with it.
    """
    trees = [parse_trees.expression_tree(text) for text in (policy.visible, policy.checked) if text]
    called = {name[0] for name in parse_trees.calls(trees) if len(name) > 1}
    return bool(parse_trees.tables(trees) or called - {"auth", "storage", "pg_catalog"})


def _remain(relation: Relation, policies: Sequence[Policy], role: str) -> bool:
    """Whether other policies serve a role where these do."""
    others = [policy for policy in relation.policies if policy not in policies]
    return all(_is_served(others, policy, role) for policy in policies)


def _is_served(others: Sequence[Policy], policy: Policy, role: str) -> bool:
    return any(_serves(other, policy, role) for other in others)


def _of_others(
    plan: Plan,
    relation: Relation,
    policies: Sequence[Policy],
    known: Sequence[str],
    *,
    is_write: bool = False,
) -> list[str]:
    """The conditions by which other policies let rows pass: those of this table, then those of
    tables below the same table, which may be valid here too. Who may read rows may not write them.
    """
    others = [p for p in relation.policies if p not in policies]
    targets = {key.target for key in relation.foreign_keys}
    for table in plan.catalog.tables:
        if table is not relation and targets & {key.target for key in table.foreign_keys}:
            others += table.policies
    if is_write:
        others = [p for p in others if p.command != "r"]
    texts = [p.visible or p.checked or "" for p in others if p.permissive]
    texts += [part for text in texts for part in printed.operands(text, "AND")]
    found = [f"({text})" for text in texts if text and not _is_open(text)]
    return [text for text in dict.fromkeys(found) if text not in known]


def limiting(plan: Plan, function: Function) -> Iterator[Demand]:
    """A function that changes only rows of the caller, by each condition of their owner, or by
    which policies let rows pass; all rows for the service, if it may call the function.
    """
    if writes.goes_on(function):
        return
    for relation in writes.changed_tables(plan.catalog, function):
        conditions = owner_conditions(plan, relation)
        conditions += _of_others(plan, relation, (), conditions, is_write=True)
        known = named_persons(plan, relation)
        persons = [name for name in known if re.search(rf"\b{name}\b", function.body)]
        for condition in conditions:
            # it is for each of the persons that its body names
            if len(persons) > 1 and not all(_names(condition, name) for name in persons):
                continue
            if "service_role" in function.callers:
                condition = f"({condition} or {_IS_SERVICE})"
            yield Demand(limited=(function, relation, condition))


def _restrictive(relation: Relation, one: Caused, condition: str) -> Demand:
    """A further policy that limits one action to some rows, and leaves the others as they are."""
    action = one.attempt.action
    name = f"{relation.name}: {action} of own rows only"
    clause = "with check" if action == INSERT else "using"
    text = sql.SQL("create policy {} on {} as restrictive for {} to {} {} ({});").format(
        sql.Identifier(name),
        relation.identifier,
        sql.SQL(action),
        sql.Identifier(one.attempt.caller.role),
        sql.SQL(clause),
        sql.SQL(condition),
    )
    return Demand(
        text=_text(text),
        tables=frozenset({relation.oid}),
        actions=frozenset({(relation.oid, action)}),
    )


def _enabling(plan: Plan, relation: Relation) -> Iterator[Demand]:
    """Row level security, and if there is no policy yet, one by which owners keep their rows."""
    enable = sql.SQL("alter table {} enable row level security;").format(relation.identifier)
    touched = frozenset({relation.oid})
    yield Demand(text=_text(enable), tables=touched)
    if relation.policies:
        return
    for condition in owner_conditions(plan, relation):
        policy = sql.SQL(
            "create policy {} on {} to authenticated using ({}) with check ({});"
        ).format(
            sql.Identifier(f"{relation.name}: own rows"),
            relation.identifier,
            sql.SQL(condition),
            sql.SQL(condition),
        )
        text = f"{_text(enable)}\n{_text(policy)}"
        yield Demand(text=text, tables=touched, is_new=True)
