"""Rows that only others create for their owner, such as tickets and prescriptions.

Each column of such a row is the statement of who created it, so whatever its owner changes is
somebody else's statement, too.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import CLAIM, SERVICE, STRANGER
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.attempts import changes_own
from supabase_jobs.audit.leaks.leak import Asks, Kind, Question, Repair, ShownLeak, question, shown
from supabase_jobs.audit.probes.attempt import GROUP, INSERT, OTHER, SELECT
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import REFUSALS

KIND = Kind(
    code="given-row",
    order=320,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="Users change all columns of rows that only others create for them.",
    asks=Asks.WHOLE_ROW,
    repair=Repair.SOME_COLUMNS,
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each table, with all of its columns; a question if nobody else reads the row, or
    if those who create rows may create their own: the owner may be who has created it.
    """
    for label in dict.fromkeys(tried.table.label for tried in facts.tried):
        table = facts.tables[label]
        if not _may_be_given(table):
            continue
        changed = [
            tried
            for tried in facts.of_table(label)
            if changes_own(tried) and tried.actor.kind == STRANGER and not tried.is_state
            if tried.column not in table.persons.users
            and f"{tried.actor.role} UPDATE" in table.granted
        ]
        columns = list(dict.fromkeys(tried.column for tried in changed))
        if not columns or not _only_others_create(facts, table, changed[0].actor):
            continue
        is_own = _is_created_by_owners(facts, table)
        if _is_read_by_others(facts, table) and not is_own:
            message = (
                "Any signed-in user can change what others state in rows that only they create:"
                f" UPDATE of {', '.join(columns)} in {table.name}"
            )
            yield shown(KIND, Severity.WARNING, changed[0], message, columns)
        else:
            creators = "some users" if is_own else "others"
            message = (
                f"Any signed-in user can change {', '.join(columns)} of their own rows in {{}},"
                f" which only {creators} create. May they?"
            )
            yield question(KIND, changed[0], label, label, message)


def _may_be_given(table: Table) -> bool:
    """Whether users update rows of a table as their owners, and not as members of a group, and may
    be given them: the app creates a profile, a membership or a group for them.
    """
    is_of_app = table.rows.per_user or table.rows.is_membership or table.rows.is_group
    return table.rls and bool(table.compared.updating) and not table.is_storage and not is_of_app


def _only_others_create(facts: Facts, table: Table, actor: Actor) -> bool:
    """Whether the caller's inserts are refused, and others insert rows or no policy lets users."""
    inserts = [t for t in facts.of_table(table.label) if t.action == INSERT]
    own = [t for t in inserts if t.actor is actor]
    if not own or any(t.outcome not in REFUSALS for t in own):
        return False
    others = [t for t in inserts if t.actor is not actor and t.actor.kind != SERVICE]
    # if the row has to name who creates it, the others create their own
    is_open = not table.compared.checked and any(t.reached for t in others)
    return is_open or not table.policies.accepts_rows


def _is_read_by_others(facts: Facts, table: Table) -> bool:
    return any(
        t.action == SELECT and t.reached and t.whose in (GROUP, OTHER) and t.actor.kind != SERVICE
        for t in facts.of_table(table.label)
    )


def _is_created_by_owners(facts: Facts, table: Table) -> bool:
    """Whether who has a role inserts rows for anybody, as no policy says whom they have to name:
    then organizers insert their own.
    """
    return table.policies.accepts_rows and any(
        t.action == INSERT and t.reached and not t.failed
        for t in facts.of_table(table.label)
        if t.actor.kind == CLAIM
    )
