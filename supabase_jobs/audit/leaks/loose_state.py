"""Times and states that decide in one place of a project, and that another one leaves out."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.policies.loose_states import Gap, LooseState
from supabase_jobs.findings import Severity

KIND = Kind(
    code="loose-state",
    severities=(Severity.QUESTION,),
    sentence="A policy, helper or trigger leaves out a time or a state that decides elsewhere.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each column and what leaves it out, and each policy that hides nothing."""
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
