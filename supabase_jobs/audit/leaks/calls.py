"""Leaks of functions: their calls, cause and repair."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind, who, without_ended
from supabase_jobs.audit.probes.attempt import GROUP, OWN
from supabase_jobs.findings import Explanation, Severity, as_comment

# of guards: insufficient_privilege, raise exception, and statuses of the API such as PT403
_GUARDS = ("42501", "P0001", "PT4")
# what a function that asks nobody gives: a secret, rows in each state, a row that nothing ties to
# the secret, and changes
SECRETS, EACH_STATE, ANY_ROW, CHANGES = "secrets", "each state", "any row", ""
_BY_NULL = "Compare with =: IS NOT DISTINCT FROM lets NULL find the rows without a value."


def is_refused(called: Called) -> bool:
    """Whether a guard has refused a call."""
    return called.sqlstate.startswith(_GUARDS)


def is_told(called: Called) -> bool:
    """Whether a call has reached rows of others, or told something about them."""
    said, effects = called.said, called.effects
    told = (said.shown, said.identified, said.derived, said.existing, said.counted)
    named = (effects.forged, effects.addressed, effects.joined)
    done = (effects.changed, effects.recounted, effects.opened)
    found = called.injected.runs_sql or said.has_secret or bool(called.ending.ended)
    return found or any((*told, *named, *done))


def asked(facts: Facts) -> list[Called]:
    """The calls, by the most general caller first; without those of members with the strongest role
    of functions that ask for it.
    """
    reached: dict[tuple[str, str], set[bool]] = {}
    for called in facts.calls:
        membership = called.actor.membership
        is_inside = membership is not None and not called.actor.is_outsider
        if membership is not None and is_inside and membership.role != membership.strongest:
            reached.setdefault((called.object, membership.table), set()).add(_reaches(called))
    found = []
    for called in facts.calls:
        membership = called.actor.membership
        is_strongest = membership is not None and membership.role == membership.strongest
        asks = membership and reached.get((called.object, membership.table)) == {False}
        if called.actor.is_outsider or not (is_strongest and asks):
            found.append(called)
    return sorted(found, key=lambda called: called.actor.rank)


def refuses_insiders(facts: Facts, function: str, *, is_read: bool = False) -> bool:
    """Whether a function asks its caller: it ends with an error for some member, whatever the
    arguments, and reaches nothing for outsiders. One that reads, and names its caller, may answer
    nothing instead.
    """
    calls = [called for called in facts.calls if called.object == function]
    if any(called.actor.is_outsider and _reaches(called) for called in calls):
        return False
    ended: dict[str, bool] = {}
    for called in calls:
        if called.actor.kind == MEMBER:
            label = called.actor.label
            is_empty = is_read and called.function.guard.asks and not is_told(called)
            ended[label] = ended.get(label, True) and (called.sqlstate != "" or is_empty)
    return any(ended.values())


def is_for_members(facts: Facts, called: Called, actions: Sequence[str]) -> bool:
    """Whether a function is how members do something: it refuses outsiders, and nobody of their
    group does it with the rows directly. What each user does with the row that each has says
    nothing about those of the group.
    """
    if called.actor.kind != MEMBER:
        return False
    others = [one for one in facts.calls if one.object == called.object]
    outside = [one for one in others if one.actor.is_outsider]
    if any(map(_reaches, outside)) or not any(map(is_refused, outside)):
        return False
    for label in (*called.effects.changed, *called.said.shown):
        table = facts.tables.get(label)
        is_of_user = table is not None and table.rows.per_user
        whose = (GROUP,) if is_of_user else (OWN, GROUP)
        direct = [tried for tried in facts.of_table(label) if tried.action in actions]
        if any(tried.reached and tried.whose in whose for tried in direct):
            return False
    return True


def _reaches(called: Called) -> bool:
    """Whether a call reaches any row that is refused to its caller."""
    said = (called.said.shown, called.said.identified, called.said.has_secret)
    return any((*said, called.effects.changed, called.effects.opened, called.injected.runs_sql))


def unasked(facts: Facts) -> Iterator[tuple[Called, str]]:
    """The first call of each function that acts as its owner on rows of others and does not ask who
    calls it, as far as no call has shown what it does; and what its caller gets.
    """
    told = {called.object for called in facts.calls if is_told(called)}
    seen = set[str]()
    for called in asked(facts):
        function = called.function
        is_open = function.is_definer and not function.guard.asks and not function.is_helper
        if not is_open or called.object in told | seen or not called.touched:
            continue
        if called.actor.is_outsider:
            seen.add(called.object)
            yield from ((called, gets) for gets in _gotten(called))


def _gotten(called: Called) -> Iterator[str]:
    """The things that a function gives to whoever calls it."""
    function = called.function
    if function.result.hands_out and not function.guard.secrets:
        yield SECRETS
    if called.unread:
        yield EACH_STATE
    elif function.guard.untied:
        yield ANY_ROW
    elif function.changes.alters and not function.guard.secrets:
        yield CHANGES


def leak(
    kind: Kind, severity: Severity, called: Called, effect: str, tables: Sequence[str]
) -> ExplainedLeak:
    """A leak of rows of these tables, which refuse what the call does."""
    by_null = called.given.by_null
    message = f"{effect} by a call, which {', '.join(tables)} refuses"
    if called.sqlstate and called.said.shown:  # a constraint shows the row that it refuses
        nulls = ", ".join(called.given.nulls)
        where = f"the error of a call with NULL as {nulls}" if nulls else "the error of a call"
        message = f"{effect} in {where}, which {', '.join(tables)} refuses"
    if by_null:
        message = f"{effect} by a call with NULL as {by_null}, which {tables[0]} refuses"
    return leak_of_function(kind, severity, called, message, _BY_NULL if by_null else "")


def leak_of_function(
    kind: Kind, severity: Severity, called: Called, effect: str, advice: str = ""
) -> ExplainedLeak:
    """A leak of a function. Members keep their access if a former member loses it; `advice` is for
    a function that its caller is meant to call.
    """
    rights = "security definer" if called.function.is_definer else "security invoker"
    fix = f"revoke execute on function {called.object} from public, anon, authenticated;"
    if called.actor.remedy:
        fix = without_ended(called.object, called.actor)
    elif advice:
        fix = as_comment(advice)
    return ExplainedLeak(
        kind=kind,
        severity=severity,
        object=called.object,
        message=f"{who(called.actor)} {effect}",
        name=called.object,
        explanation=Explanation(cause=f"{rights} function {called.object}", fix=fix),
    )
