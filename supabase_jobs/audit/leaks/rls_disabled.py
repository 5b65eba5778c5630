"""Tables without row level security: every privilege on them applies to every row."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from supabase_jobs.audit.facts.attempts import ACTIONS, Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import API_USERS, Table
from supabase_jobs.audit.leaks.leak import (
    DOES,
    ExplainedLeak,
    Kind,
    Repair,
    ShownLeak,
    shown,
    who,
)
from supabase_jobs.audit.probes.attempt import GROUP, NONE, OTHER, SELECT
from supabase_jobs.findings import Explanation, Severity

KIND = Kind(
    code="rls-disabled",
    order=10,
    severities=(Severity.ERROR, Severity.WARNING),
    sentence="A table has no row level security, so requests reach every row.",
    repair=Repair.ENABLE_ROW_SECURITY,
    from_catalogs=True,
)
CAUSE = "row level security is disabled"
_CAN = {"anon": "Anyone can", "authenticated": "Any signed-in user can"}


def find(facts: Facts) -> Iterator[ShownLeak | ExplainedLeak]:
    """One leak for each table: by what was tried, or by its privileges."""
    reported = set()
    for leak in _of_tried(facts):
        reported.add(leak.object)
        yield leak
    for table in facts.tables.values():
        if not table.is_selected or table.is_storage or table.label in reported:
            continue
        if table.is_foreign:
            yield from _of_foreign_table(table)
        elif not table.rls and table.partition_of is None:
            yield from _of_table(table)
        elif not table.rls and (parent := facts.tables.get(table.partition_of or "")):
            yield from _of_partition(table, parent)


def _of_tried(facts: Facts) -> Iterator[ShownLeak]:
    objects: dict[str, list[Tried]] = {}
    for tried in facts.tried:
        if not tried.table.rls:
            objects.setdefault(tried.object, []).append(tried)
    for group in objects.values():
        reached = [
            t
            for t in sorted(group, key=lambda t: t.actor.rank)
            if t.reached and t.whose in (OTHER, NONE, GROUP) and t.actor.is_outsider
        ]
        if not reached:
            continue
        first = reached[0]
        done = {t.action for t in reached if t.actor is first.actor}
        actions = [action for action in ACTIONS if action in done]
        message = (
            f"Row level security is disabled: {who(first.actor).lower()} {_verbs(actions)} every"
            " row"
        )
        of_first = next(t for t in reached if t.actor is first.actor and t.action == actions[0])
        yield shown(KIND, _severity(actions), of_first, message)


def _of_table(table: Table) -> Iterator[ExplainedLeak]:
    role, actions = _most_able(table)
    if actions:
        text = f"Row level security is disabled: {_CAN[role].lower()} {_verbs(actions)} every row"
        yield _leak(table, actions, text, CAUSE, _enable(table))


def _of_foreign_table(table: Table) -> Iterator[ExplainedLeak]:
    role, actions = _most_able(table)
    if actions:
        message = (
            f"A foreign table has no row level security: {_CAN[role].lower()} {_verbs(actions)}"
            " every row"
        )
        revoke = sql.SQL("revoke all on {} from anon, authenticated;").format(table.identifier)
        yield _leak(table, actions, message, "a grant on a foreign table", revoke)


def _of_partition(table: Table, parent: Table) -> Iterator[ExplainedLeak]:
    """A request that names a partition skips the policies of its table."""
    if not parent.rls:
        return
    role = "anon" if "anon" in table.served_to else "authenticated"
    actions = [action for action in ACTIONS if table.may(role, action.upper())]
    message = (
        f"{_CAN[role]} {_verbs(actions)} every row of this partition, which {parent.label} refuses"
    )
    yield ExplainedLeak(
        kind=KIND,
        severity=Severity.ERROR,
        object=table.label,
        message=message,
        name=f"{table.label}:{SELECT}",
        explanation=Explanation(cause=CAUSE, fix=_enable(table).as_string(None)),
    )


def _most_able(table: Table) -> tuple[str, list[str]]:
    """The role that may write, or else read, and its actions."""
    able = {role: _actions(table, role) for role in API_USERS}
    role = max(API_USERS, key=lambda role: (bool(set(able[role]) - {SELECT}), bool(able[role])))
    return role, able[role]


def _actions(table: Table, role: str) -> list[str]:
    if role not in table.served_to:
        return []
    return [action for action in ACTIONS if table.may(role, action.upper())]


def _leak(
    table: Table, actions: Sequence[str], message: str, cause: str, fix: sql.Composed
) -> ExplainedLeak:
    return ExplainedLeak(
        kind=KIND,
        severity=_severity(actions),
        object=table.label,
        message=message,
        name=f"{table.label}:{actions[0]}",
        action=actions[0],
        explanation=Explanation(cause=cause, fix=fix.as_string(None)),
    )


def _severity(actions: Sequence[str]) -> Severity:
    return Severity.WARNING if list(actions) == [SELECT] else Severity.ERROR


def _verbs(actions: Sequence[str]) -> str:
    return ", ".join(DOES[action] for action in actions)


def _enable(table: Table) -> sql.Composed:
    return sql.SQL("alter table {} enable row level security;").format(table.identifier)
