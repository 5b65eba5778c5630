"""Logs, whose rows only triggers of other tables add, and which a policy for all commands lets
people change or delete, or to which anybody adds some.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import ANON, CLAIM, MEMBER, NEWCOMER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import DOES, Kind, Question, question, who
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.probes.attempt import DELETE, GROUP, INSERT, OTHER, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="changed-log",
    order=360,
    severities=(Severity.QUESTION,),
    sentence="Members or the staff change a log that only triggers write, or anybody adds to it.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each log: about anybody who adds rows, or about the first member who changes
    or deletes some.
    """
    for label, table in facts.tables.items():
        if not table.rows.logged_by:
            continue
        added = [t for t in facts.of_table(label) if _is_added_by_anybody(t)]
        for tried in added[:1]:
            message = (
                f"{who(tried.actor)} add rows of {{}}, although only triggers of"
                f" {some(table.rows.logged_by)} write it. May they?"
            )
            yield question(KIND, tried, label, label, message)
        if added or not table.policies.for_all:
            continue
        writes = [t for t in facts.of_table(label) if _is_write(t)]
        changes = [t for t in writes if t.action != INSERT]
        for tried in changes[:1]:
            own = [t.action for t in writes if t.actor is tried.actor]
            does = [DOES[action] for action in (INSERT, UPDATE, DELETE) if action in own]
            acts = " and ".join([", ".join(does[:-1]), does[-1]] if does[1:] else does)
            policies = some([f'"{name}"' for name in table.policies.for_all])
            message = (
                f"{who(tried.actor)} {acts} rows of {{}} by policy {policies} for all"
                f" commands, although only triggers of {some(table.rows.logged_by)} write it."
                " May they?"
            )
            yield question(KIND, tried, label, label, message)


def _is_added_by_anybody(tried: Tried) -> bool:
    """Whether somebody without rights in the project adds a row."""
    is_added = tried.action == INSERT and tried.reached and not tried.failed
    return is_added and tried.actor.kind in (ANON, NEWCOMER)


def _is_write(tried: Tried) -> bool:
    """Whether somebody writes a row of others, with rights in a group or on the whole project."""
    is_of_others = tried.actor.kind in (MEMBER, CLAIM) and tried.whose in (GROUP, OTHER)
    is_write = tried.action in (INSERT, UPDATE, DELETE) and tried.reached and not tried.failed
    return is_of_others and is_write and not tried.is_state
