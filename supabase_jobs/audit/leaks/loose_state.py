"""Times, states and conditions about the caller that decide in one place of a project, and that
another one leaves out.
"""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.policies.loose_states import Gap, LooseState
from supabase_jobs.audit.policies.uneven_writes import Uneven
from supabase_jobs.findings import Severity

KIND = Kind(
    code="loose-state",
    order=80,
    severities=(Severity.QUESTION,),
    sentence=(
        "A policy, helper or trigger leaves out a time, a state or a condition that decides"
        " elsewhere."
    ),
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each column and what leaves it out, each policy that hides nothing, and each
    table with one that asks less about its caller.
    """
    for one in facts.loose_states:
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=one.table,
            message=_message(one),
            decides=f"{one.table}.{one.column}:{one.gap}",
            topics=(one.column,),
        )
    for state in facts.shown_states:
        places = some(state.places)
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=state.table,
            message=(
                f'Policy "{state.policy}" shows rows of {state.table} whatever {{}} says, by which'
                f" {places} selects them. Is that intended?"
            ),
            decides=f"{state.table}:shown:{state.policy}",
            topics=tuple(state.columns),
        )
    yield from _of_guards(facts)
    yield from _of_callers(facts)


def _of_callers(facts: Facts) -> Iterator[Question]:
    """A state of the caller's own row, as of an account that is not blocked."""
    for one in facts.caller_states:
        if one.ends:
            message = (
                f"Policies of {some(one.tables)} find their caller by {one.table}, and none looks"
                f" at {{}}: with {' or '.join(one.ends.values())} they let the same pass. Is that"
                " intended?"
            )
        else:
            message = (
                f"Policies of {{}} do not look at {one.column} of the caller's row in {one.table},"
                f" for which those of {some(one.others)} ask. Does it not matter there?"
            )
        where = f"{one.table}.{one.column}" if one.column else one.table
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=one.table,
            message=message,
            decides=f"{where}, of the caller",
            topics=tuple(one.ends or one.tables),
        )


def _of_guards(facts: Facts) -> Iterator[Question]:
    """None about a policy of whose table another one shows the same."""
    uneven = {(one.table, one.policy) for one in facts.uneven_writes if one.what is Uneven.ROLE}
    for one in facts.lone_guards:
        if (one.table, one.policy) in uneven:
            continue
        message = (
            f'Policy "{one.policy}" of {{}} only asks {one.guard} about its caller, which those of'
            f" {some(one.others)} ask beside {some(one.companions)}. Is that enough?"
        )
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=one.table,
            message=message,
            decides=f"{one.table}:beside:{one.guard}",
            topics=(one.table,),
        )


def _message(one: LooseState) -> str:
    values, table = ", ".join(one.values), one.table
    match one.gap:
        case Gap.FUTURE:
            return (
                f'Policy "{one.where}" shows rows of {table} as soon as {{}} is set, also to a time'
                " in the future. Does the time decide?"
            )
        case Gap.OTHER_STATE:
            return (
                f'Policy "{one.where}" also shows rows of {table} with {{}} = {values}, although'
                f" others demand {one.elsewhere}. May they be read?"
            )
        case Gap.END:
            return (
                f"{one.where} lets in whoever a row of {table} names, also after its {{}}, which"
                f" {one.elsewhere} compares with now. Is that intended?"
            )
        case Gap.NEW_ROW:
            return (
                f"Whoever adds rows of {table} can choose {{}} = {values}, which {one.where}"
                " refuses in changed rows only. May they?"
            )
        case Gap.ENDED_LOCK:
            return (
                f"{one.where} keeps {values} of rows in {table} by {{}}, which whoever changes the"
                " row can first set back. May they?"
            )
