"""The paths by which policies let an act pass: conditions that each suffice.

A leak passes by some of them. What a repair ends of the others is seen only if somebody in the
world passes by them.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees, printed, truth
from supabase_jobs.audit.policies.expressions import Comparison, Literal, Reference
from supabase_jobs.audit.probes.attempt import OWN, Attempt
from supabase_jobs.audit.probes.statements import constants
from supabase_jobs.audit.repairs.causes import alone, drop
from supabase_jobs.audit.repairs.demand import Demand, Edit
from supabase_jobs.audit.repairs.statements import altered
from supabase_jobs.audit.rows.states import identity
from supabase_jobs.session.action import Insert, Update

_SHOWN = 60  # characters of a condition
_RANGES = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Path:
    """A condition that suffices for a policy to let an act pass."""

    relation: Relation
    policy: Policy
    condition: str

    def __str__(self) -> str:
        text = " ".join(self.condition.split())
        text = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
        return f'{text} of policy "{self.policy.name}"'

    @property
    def is_open(self) -> bool:
        """Whether it is true for every row and caller."""
        return truth.always_true(parse_trees.expression_tree(self.condition), "authenticated")

    @property
    def limited(self) -> str:
        """The statement after which its policy lets nothing else pass."""
        visible, checked = (self._only(t) for t in (self.policy.visible, self.policy.checked))
        return altered(self.relation, self.policy, visible, checked)

    def _only(self, text: str | None) -> str | None:
        return self.condition if self.condition in _conditions(text) else text


@dataclass(frozen=True)
class Paths:
    """The policies that a repair limits, and their paths; `ended` are those that it changes."""

    policies: Sequence[tuple[Relation, Policy]]
    ended: Sequence[Path]

    def only(self, path: Path | None) -> str:
        """The statements after which an act passes by one path of these policies, or by none."""
        parts = []
        for relation, policy in self.policies:
            if path is not None and (relation, policy) == (path.relation, path.policy):
                parts.append(path.limited)
            else:
                parts.append(drop(relation, policy).as_string(None))
        return "\n".join(part for part in parts if part)


def of_demand(demand: Demand, table: Relation, role: str) -> Paths:
    """The paths that a repair may end for a role, of policies whose expressions it limits, or of
    those of a table that let pass what a privilege or a restrictive policy refuses.
    """
    policies = [(relation, policy) for relation, policy, _ in demand.edits]
    actions = {action for oid, action in demand.script.actions or () if oid == table.oid}
    actions.update(grant.privilege.lower() for grant in demand.grants[:1])
    for policy in table.policies:
        is_limited = any(policy.governs(action) for action in actions)
        if policy.permissive and policy.applies_to(role) and is_limited:
            policies.append((table, policy))
    policies = list(dict.fromkeys(policies))
    ended = []
    for relation, policy in policies:
        without = [e for r, p, e in demand.edits if (r, p) == (relation, policy)]
        conditions = dict.fromkeys(
            one for text in (policy.visible, policy.checked) for one in _conditions(text)
        )
        if without == [Edit.WITHOUT_ALTERNATIVE] and not actions:
            part = set(_conditions(demand.owner))
            conditions = {one: None for one in conditions if one in part}
        ended += [
            Path(relation, policy, one)
            for one in conditions
            if not truth.never_true(parse_trees.expression_tree(one), role)
        ]
    return Paths(policies, ended)


def permitting(demand: Demand, attempt: Attempt, *, is_of_column: bool) -> Iterator[Policy]:
    """The policies that a repair drops, or whose column it takes, although they test new rows for
    a value that an attempt writes, or for a range: it is meant to be written. Of a leak that is
    about the value of a column, also those that it limits.
    """
    policies = [
        policy
        for relation, policy, edit in demand.edits
        if relation is attempt.relation and (is_of_column or edit == Edit.DROP)
    ]
    if any(grant.relation is attempt.relation for grant in demand.grants[:1]):
        policies += [p for p in attempt.relation.policies if p.governs(attempt.action)]
    names = {attempt.column} if attempt.column else set(attempt.written)
    for policy in policies if attempt.caller.role else ():
        tree = parse_trees.expression_tree(policy.checked or "''")
        is_tested = any(_is_test(one, attempt, names) for one in expressions.comparisons(tree))
        if policy.permissive and policy.applies_to(attempt.caller.role) and is_tested:
            yield policy


def _is_test(one: Comparison, attempt: Attempt, names: Collection[str]) -> bool:
    """Whether a comparison, either way, of one of some columns with a constant accepts several
    values, or the one that an attempt writes.
    """
    for column, given in ((one.left, one.right), (one.right, one.left)):
        if not isinstance(column, Reference) or not isinstance(given, Literal):
            continue
        is_same = one.operator == "=" and attempt.written.get(column.column) == given.text
        if column.column in names and (one.operator in _RANGES or is_same):
            return True
    return False


def of_column(act: Attempt, tried: Attempt) -> Attempt:
    """An update that writes the column, and the value, of another one."""
    sent = act.sent
    if isinstance(sent, Update) and tried.sent is not None:
        sent = replace(sent, values=tried.sent.assigned)
    return replace(alone(act), sent=sent, column=tried.column, value=tried.value)


def unchanged(act: Attempt, column: str) -> Attempt | None:
    """An update of a row of others that writes its own value into a column: whoever may move the
    row needs the same privilege, and moves it nowhere.
    """
    if act.whose == OWN or not isinstance(act.sent, Update):
        return None
    value = act.row.values.get(column)
    sent = replace(act.sent, values=constants(act.relation, {column: value}))
    return replace(alone(act), sent=sent, column=column, value=value)


def in_own_name(act: Attempt, column: str) -> Attempt | None:
    """An update of a row of others that writes its caller into a column, as who approves it does;
    None without a user.
    """
    user, relation = act.caller.user, act.relation
    value = None if user is None else identity(relation, column, user)
    if value is None or act.whose == OWN or not isinstance(act.sent, Update):
        return None
    sent = replace(act.sent, values=constants(relation, {column: value}))
    return replace(alone(act), sent=sent, column=column, value=value)


def in_new_row(insert: Attempt, written: Attempt) -> Attempt | None:
    """The insert of a row with the column, and the value, of an update; None for another action."""
    if not isinstance(insert.sent, Insert) or written.sent is None:
        return None
    sent = replace(insert.sent, values={**insert.sent.values, **written.sent.assigned})
    return replace(alone(insert), sent=sent, column=written.column, value=written.value)


def _conditions(text: str | None) -> list[str]:
    return [] if text is None else printed.alternatives(text, LIMITS.paths)
