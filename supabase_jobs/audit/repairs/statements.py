"""The statements of demands. Leaks of the same policy have one, so that no fix undoes another."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg import sql

from supabase_jobs.audit.catalog import Function, Policy, Relation
from supabase_jobs.audit.policies import parse_trees, printed, truth
from supabase_jobs.audit.repairs import captured, guards, writes
from supabase_jobs.audit.repairs import ended as ended_rows
from supabase_jobs.audit.repairs.causes import USER_METADATA, drop
from supabase_jobs.audit.repairs.demand import Demand, Edit, Grant, Guard
from supabase_jobs.audit.repairs.helpers import Missing
from supabase_jobs.audit.repairs.owners import owner_condition, with_readable_parent
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Ended

_OWN_FOLDER = "(storage.foldername(name))[1] = (select auth.uid()::text)"


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
            for function, missing_one in other.definitions.lacking:
                called.setdefault(function.oid, []).append(missing_one)
        parts = [demand.script.text] if demand.script.text else []
        if demand.guard is not None:
            parts += [_trigger(grant, demand.guard) for grant in demand.grants[:1]]
        else:
            parts += [self._without(grant) for grant in demand.grants]
        parts += [self._policy(change) for key, change in changes.items() if key in keys]
        for function in dict.fromkeys(function for function, _ in demand.definitions.lacking):
            parts.append(self._function(function, called[function.oid]))
        for function in demand.definitions.trusting:
            parts.append(_without_metadata(self._definitions.get(function.oid, "")))
        for function, body in demand.definitions.bodies:
            definition = self._definitions.get(function.oid, "")
            parts.append(writes.with_body(function, definition, body))
        for function, relation, condition in demand.definitions.limited:
            definition = self._definitions.get(function.oid, "")
            parts.append(writes.limited(function, definition, relation, condition))
        return "\n".join(dict.fromkeys(part for part in parts if part))

    def _without(self, grant: Grant) -> str:
        """The grant without the columns of all demands on a table and a role."""
        columns = grant.columns
        for demand in self._demands:
            same = [] if demand.guard is not None else demand.grants
            for known in same:
                columns |= known.columns if known.place == grant.place else frozenset()
        return without_columns(grant.relation, columns, grant.role, grant.privilege)

    def _policy(self, change: _Change) -> str:
        """The statement that makes all edits of a policy; '' if they change nothing."""
        relation, policy, edits = change.relation, change.policy, change.edits
        if Edit.DROP in edits or (edits == {Edit.DROP_UNLESS_RESTRICTED} and not change.marks):
            return drop(relation, policy).as_string(None)
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
            new = replace(new, checked=new.visible if limits_rows(policy) else limited)
        if Edit.OWN_FOLDER in edits:
            new = replace(new, checked=_limited(new.checked or new.visible, _OWN_FOLDER))
        if Edit.READABLE_PARENT in edits:
            accepted = new.checked or new.visible or "true"
            new = replace(new, checked=with_readable_parent(self._plan, relation, accepted))
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


def _trigger(grant: Grant, guard: Guard) -> str:
    """The statements that create the trigger of a guard, for the columns of a grant."""
    record = "new" if guard.of_new_rows else "old"
    return guards.trigger(
        grant.relation, grant.role, grant.columns, guard.condition, record, guard.path
    )


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
    return alter.as_string(None)


def _limited_to_owner(expressions_: _Expressions, owner: str) -> _Expressions:
    """Limit what a policy shows. A condition for new rows that is more than `true` stays as it is,
    unless it lets a leak pass.
    """
    visible, checked = _limited(expressions_.visible, owner), expressions_.checked
    if checked is None or is_open(checked):
        checked = visible
    return _Expressions(visible, checked)


def _limited(text: str | None, owner: str) -> str:
    """A condition and that of the owner; the latter alone if the caller can choose what the
    condition reads.
    """
    if text is None or is_open(text) or USER_METADATA in text:
        return owner
    return f"({text}) and {owner}"


def limits_rows(policy: Policy) -> bool:
    """Whether a policy for all commands lets callers reach some rows only: new rows can be limited
    in the same way.
    """
    return policy.command == "*" and policy.visible is not None and not is_open(policy.visible)


def is_open(text: str) -> bool:
    """Whether a condition holds for every row, of who has signed in."""
    return truth.always_true(parse_trees.expression_tree(text), "authenticated")


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
        return revoke.as_string(None)
    grant = sql.SQL(" grant {} ({}) on {} to {};").format(
        sql.SQL(privilege),
        sql.SQL(", ").join(c.identifier for c in others),
        relation.identifier,
        to,
    )
    return (revoke + grant).as_string(None)


def _change(changes: dict[tuple[int, str], _Change], relation: Relation, policy: Policy) -> _Change:
    return changes.setdefault(
        (relation.oid, policy.name), _Change(relation=relation, policy=policy)
    )


def _of_app(text: str) -> str:
    return text.replace(USER_METADATA, "'app_metadata'")


def _without_metadata(definition: str) -> str:
    """The statement that defines a function again, with app_metadata."""
    return f"{_of_app(definition).rstrip().rstrip(';')};" if definition else ""


def _without(text: str, part: str) -> str:
    """An expression without one of the operands of its OR."""
    parts = printed.operands(text, "OR")
    if part not in parts or len(parts) == 1:
        return text
    return " or ".join(f"({other})" for other in parts if other != part)
