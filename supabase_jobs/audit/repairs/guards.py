"""Triggers that refuse a change of columns, unless the row meets a condition: that by which others
than the callers of a leak change it, or that the caller reads the row to which it refers now.

A privilege on columns is one of a role, which users and the staff share.
"""

from collections.abc import Iterator

from psycopg import sql

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import printed
from supabase_jobs.audit.probes.attempt import UPDATE

# that of a request, for conditions that call functions which have no search_path of their own
NO_PATH, PATH = "''", "public, extensions"
# a function that acts as its owner is not refused
_TRIGGER = """create function {function}() returns trigger language plpgsql set search_path = {path}
as $guard$
begin
  if current_user = {role} and {new} is distinct from {old}
    and not exists (select from (select {record}.*) as {table} where {condition}) then
    raise exception {message} using errcode = '42501';
  end if;
  return new;
end $guard$;
create trigger {name} before update of {columns} on {target}
  for each row execute function {function}();"""


def alternatives(relation: Relation, role: str) -> list[str]:
    """The conditions each of which lets a role change a row of a table."""
    found = [
        condition
        for policy in relation.policies
        if policy.permissive and policy.governs(UPDATE) and policy.applies_to(role)
        for condition in printed.alternatives(policy.visible or "true", LIMITS.paths)
    ]
    return list(dict.fromkeys(found))


def conditions(relation: Relation, role: str) -> Iterator[str]:
    """All but one of these conditions, for each one that may be that of a leak."""
    found = alternatives(relation, role)
    for one in found if len(found) <= LIMITS.paths else ():
        others = [f"({other})" for other in found if other != one]
        if others:
            yield " or ".join(others)


def trigger(
    relation: Relation, role: str, columns: frozenset[str], condition: str, record: str, path: str
) -> str:
    """The statements that create a trigger and its function, with its search_path; the condition is
    about the `old` or the `new` row.
    """
    names = sorted(columns)
    name = f"keep_{relation.name}_{'_'.join(names)}"[:63]
    return (
        sql.SQL(_TRIGGER)
        .format(
            function=sql.Identifier(relation.schema, name),
            path=sql.SQL(path),
            role=sql.Literal(role),
            new=_row("new", names),
            old=_row("old", names),
            table=sql.Identifier(relation.name),
            record=sql.SQL(record),
            condition=sql.SQL(condition),
            message=sql.Literal(f"{', '.join(names)} of {relation.name} may not be changed"),
            name=sql.Identifier(name),
            columns=sql.SQL(", ").join(map(sql.Identifier, names)),
            target=relation.identifier,
        )
        .as_string(None)
    )


def _row(record: str, names: list[str]) -> sql.Composable:
    """A row of columns of a record."""
    columns = [sql.Identifier(record, name) for name in names]
    return sql.SQL("({})").format(sql.SQL(", ").join(columns))
