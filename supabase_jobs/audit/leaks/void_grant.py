"""Privileges on some columns of a table, beside the same privilege on all of it.

PostgreSQL adds the two, so that the list of columns limits nothing. New tables of Supabase have
the privilege on the table by default: who grants columns must revoke that first.
"""

from collections.abc import Iterator

from psycopg import sql

from supabase_jobs.audit.callers import SERVICE
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import API_USERS, Table
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind, Repair
from supabase_jobs.audit.probes.attempt import INSERT, SELECT, UPDATE
from supabase_jobs.findings import Explanation, Severity, as_comment

KIND = Kind(
    code="void-grant",
    order=680,
    severities=(Severity.WARNING,),
    sentence="A privilege on some columns limits nothing: the role has it on the whole table.",
    repair=Repair.ADVICE,
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each table and privilege that callers use."""
    for label, table in facts.tables.items():
        if not table.is_selected or table.is_storage or table.is_foreign or not table.rls:
            continue
        for action in (SELECT, INSERT, UPDATE):
            used = {
                t.actor.role
                for t in facts.of_table(label)
                if t.action == action and t.reached and t.actor.kind != SERVICE
            }
            columns = {role: _alone(table, role, action) for role in API_USERS if role in used}
            void = {role: names for role, names in columns.items() if names}
            if void:
                yield _leak(table, action, void)


def _alone(table: Table, role: str, action: str) -> tuple[str, ...]:
    """The columns on which a role has a privilege that it has on the table, too; none if those are
    all of them.
    """
    key = f"{role} {action.upper()}"
    names = table.listed.get(key, ())
    is_void = key in table.granted and len(names) < len(table.columns)
    return tuple(names) if is_void else ()


def _leak(table: Table, action: str, void: dict[str, tuple[str, ...]]) -> ExplainedLeak:
    roles, [first, *_] = list(void), void.values()
    privilege = action.upper()
    message = (
        f"GRANT {privilege} ({', '.join(first)}) on {table.name} to {' and '.join(roles)} limits"
        " nothing: the same privilege on the whole table is still there"
    )
    statements = [_only(table, action, role, names) for role, names in void.items()]
    return ExplainedLeak(
        kind=KIND,
        severity=Severity.WARNING,
        object=table.label,
        message=message,
        name=f"{table.label}:{action}",
        action=action,
        explanation=Explanation(
            cause=f"a grant of {privilege} on the table, probably by default privileges",
            fix=as_comment("\n".join(["If these columns are all that is meant:", *statements])),
        ),
    )


def _only(table: Table, action: str, role: str, columns: tuple[str, ...]) -> str:
    """The statements that leave a role a privilege on some columns only."""
    text = sql.SQL("revoke {0} on {1} from {2}; grant {0} ({3}) on {1} to {2};").format(
        sql.SQL(action),
        table.identifier,
        sql.Identifier(role),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
    )
    return text.as_string(None)
