"""Functions whose result tells whether others have rows, or how many."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import FORMER
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import ABOUT_KNOWN, is_about_known, question, saying
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-exists",
    order=500,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function tells whether others have rows, or how many.",
)

_IS_MEMBER = "ask of each person whose id they know whether the person is a member, by"


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, and one question about the numbers of all rows, or of those that
    go with a row which the caller knows. Whether a person is a member, apps ask as policies do: a
    question, too. A member may know the numbers of its group; helpers of policies answer to
    everyone who has an id. A function that changes rows says whether it has.
    """
    calls = [called for called in asked(facts) if not _is_of_own(called)]
    changing = {
        called.object for called in facts.calls if called.effects.changed or called.effects.opened
    }
    for called in saying(calls, "existing"):
        if not called.actor.is_outsider or called.object in changing:
            continue
        function = called.function
        if function.is_helper or function.changes.sets or function.result.returns == []:
            continue
        if is_about_known(facts, called):
            yield question(KIND, called, ABOUT_KNOWN, "", "about what they know")
        elif _is_about_members(facts, called):
            yield question(KIND, called, _IS_MEMBER, "", "about members")
        else:
            effect = "find out by an id whether others have rows, or how many"
            yield leak(KIND, Severity.WARNING, called, effect, called.said.existing)
    for called in saying(calls, "counted"):
        if called.actor.is_outsider and not called.function.changes.sets:
            yield question(KIND, called, "read a number about all rows by")


def _is_about_members(facts: Facts, called: Called) -> bool:
    """Whether a function says yes or no about a person in groups, and looks at nothing else."""
    function = called.function
    tables = [facts.tables[label] for label in called.said.existing if label in facts.tables]
    is_of_groups = bool(tables) and all(table.rows.is_membership for table in tables)
    return function.result.is_yes_or_no and bool(function.of_persons) and is_of_groups


def _is_of_own(called: Called) -> bool:
    """Whether a call of a former member has arguments, and none of them names a row of others: it
    is about the caller, who may call it like anybody else. A header names a row.
    """
    is_former = called.actor.kind == FORMER and called.actor.role != "anon"
    return is_former and not (called.given.names_others or called.given.is_general)
