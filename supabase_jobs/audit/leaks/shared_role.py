"""Rows of others that users reach by a role: that of everybody who signs up, or of the staff."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import NEWCOMER
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind, Question, question
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.probes.attempt import OWN, SELECT
from supabase_jobs.audit.rows.held_role import HeldRole
from supabase_jobs.findings import Explanation, Severity, as_comment

KIND = Kind(
    code="shared-role",
    order=180,
    severities=(Severity.ERROR, Severity.QUESTION),
    sentence="Users reach rows of others by a role, which everybody may have who signs up.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak | Question]:
    """One question for each role, about all tables that it opens; an error if it is the one with
    the rights of all others, and everybody has it who signs up.
    """
    deciding = [tried for tried in facts.tried if tried.deciding.everywhere and tried.reached]
    changing = {tried.deciding.everywhere for tried in deciding if tried.action != SELECT}
    given = [role for role in facts.topmost if _is_given(facts, role)]
    for role in given:
        tables = [tried.table.label for tried in deciding if tried.deciding.everywhere == role]
        if tables:
            yield _topmost(role, role in changing, list(dict.fromkeys(tables)))
    for tried in deciding:
        if tried.deciding.everywhere is None or tried.deciding.everywhere in given:
            continue
        verbs = "reads and changes" if tried.deciding.everywhere in changing else "reads"
        does = f"has {tried.deciding.everywhere}"
        if _is_given(facts, tried.deciding.everywhere):
            message = (
                f"Everybody who signs up {does}, and {verbs} rows of others in {{}}."
                " Is sign-up open to everyone?"
            )
        else:
            message = f"Whoever {does} {verbs} rows of others in {{}}. Is that intended?"
        yield question(KIND, tried, str(tried.deciding.everywhere), tried.table.label, message)


def _topmost(role: HeldRole, changes: bool, tables: Sequence[str]) -> ExplainedLeak:
    """The role of everybody with the rights of all others."""
    verbs = "read and change" if changes else "read"
    advice = (
        f"Put {role.value} before the other labels of the type of {role.place}, or give who signs"
        " up another one."
    )
    return ExplainedLeak(
        kind=KIND,
        severity=Severity.ERROR,
        object=role.table,
        message=(
            f"Everybody who signs up has {role}, which counts for more than each other label: they"
            f" {verbs} rows of others in {some(tables)}"
        ),
        name=str(role),
        explanation=Explanation(
            cause=f"the order of the labels of {role.place}", fix=as_comment(advice)
        ),
    )


def _is_given(facts: Facts, role: HeldRole) -> bool:
    """Whether a user who has only signed up has the row with the role, or inserts it."""
    table = role.table if role.column else None
    of_newcomer = [tried for tried in facts.tried if tried.actor.kind == NEWCOMER]
    return any(
        tried.deciding.everywhere == role or (tried.whose == OWN and tried.table.name == table)
        for tried in of_newcomer
        if tried.action == SELECT or tried.reached
    )
