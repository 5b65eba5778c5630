"""Columns of one's own row, or of one's group, by which the application decides about rights.

A state of the row that each user has, such as a card that is blocked, decides if policies for
writes of other rows read it: who is in it must not end it, if others decide about it, too.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import CLAIM, MEMBER, NEWCOMER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.attempts import changes_own
from supabase_jobs.audit.leaks.leak import Kind, Question, ShownLeak, question, shown, who
from supabase_jobs.audit.probes.attempt import CHOOSE, GROUP, JOIN, OTHER, RESTORE, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="privileged-column",
    order=260,
    severities=(Severity.ERROR, Severity.WARNING, Severity.QUESTION),
    sentence=(
        "Users choose a column of their own row that decides about their rights or their plan."
    ),
    of_column=True,
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each object and column."""
    for group in facts.objects.values():
        table = group[0].table
        yield from _as_most_powerful(facts, group)
        yield from _as_restored(facts, group)
        if not table.rows.per_user and not table.rows.is_group:
            continue
        for tried in group:
            inserts = _inserts_own(tried)
            if facts.gives_roles(tried):
                continue  # the head of a group, of whom an escalation asks
            if (changes_own(tried) or inserts) and _is_privileged(facts, tried):
                goal = f"change their own {tried.column}"
                if facts.words.admin_columns.matches(tried.column):
                    goal = "become an admin"
                how = "INSERT into" if inserts else "UPDATE of"
                message = f"Any signed-in user can {goal}: {how} {table.name}.{tried.column}"
                yield shown(KIND, Severity.ERROR, tried, message)


def _as_most_powerful(facts: Facts, group: Sequence[Tried]) -> Iterator[ShownLeak]:
    """Outsiders who join a group of others, and choose its most powerful role; what opens something
    is an escalation.
    """
    proven = {opened.write.table.label for opened in facts.opened if opened.write.name == JOIN}
    for tried in group:
        is_joined = bool(tried.written.takes_role) and tried.reached and not tried.failed
        is_outsider = tried.actor.is_outsider and not tried.actor.is_inactive
        if is_joined and is_outsider and tried.table.label not in proven:
            message = (
                f"{who(tried.actor)} join groups of others as {tried.written.takes_role},"
                f" although there are weaker roles: INSERT into {tried.table.name}"
            )
            yield shown(KIND, Severity.WARNING, tried, message)
            return


def _as_restored(facts: Facts, group: Sequence[Tried]) -> Iterator[ShownLeak | Question]:
    """The users who end a state of their own row that policies compare: a question if nobody else
    is seen to decide about it, since they may only have paused.
    """
    for tried in group:
        label, column = tried.table.label, tried.column
        is_restored = tried.name == RESTORE and tried.reached and not tried.failed
        if not is_restored or column not in tried.table.decided.binding:
            continue
        if column in tried.table.code.managed or _is_set_by_others(facts, tried):
            message = (
                f"{who(tried.actor)} end the state, although others decide about it: UPDATE of"
                f" {tried.table.name}.{column}"
            )
            yield shown(KIND, Severity.WARNING, tried, message)
        else:
            message = f"{who(tried.actor)} end the state by {{}} in {label}. May they?"
            yield question(KIND, tried, label, column, message)


def _is_set_by_others(facts: Facts, restored: Tried) -> bool:
    """Whether members or staff change the column in rows of others."""
    return any(
        t.column == restored.column
        and t.action == UPDATE
        and t.reached
        and t.whose in (GROUP, OTHER)
        for t in facts.of_table(restored.table.label)
        if t.actor.kind in (MEMBER, CLAIM)
    )


def _inserts_own(tried: Tried) -> bool:
    """Whether a new user inserts the row that each user has, with a value of the user's choice."""
    is_new = tried.name == CHOOSE and tried.reached and not tried.failed
    return is_new and tried.actor.kind == NEWCOMER


def _is_privileged(facts: Facts, tried: Tried) -> bool:
    if facts.words.paid_columns.matches(tried.column):
        return True
    return tried.table.rows.per_user and facts.words.privilege_columns.matches(tried.column)
