"""The conditions of declarations: `if` and `unless` on variables, and `source` on what a project
installs.

A variable is set unless its value is 0, false or empty. An excluded source is a name with the value
false.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from supabase_jobs.errors import ConfigError


def holds(table: Mapping[str, Any], variables: Mapping[str, object] | None, where: str) -> bool:
    """Whether all variables of `if` are set, none of `unless`, and the `source` is not excluded.
    Without `variables`, none is set and no source is excluded.

    Raises ConfigError for a name that is not among the variables.
    """
    wanted, unwanted = (tuple(table.get(key, ())) for key in ("if", "unless"))
    for name in (*wanted, *unwanted):
        if variables is not None and name not in variables:
            raise ConfigError(f"{where}: {name!r} is not a variable of the SQL sources")
    values = variables or {}
    if not values.get(table.get("source", ""), True):
        return False
    return all(values.get(name) for name in wanted) and not any(
        values.get(name) for name in unwanted
    )


def texts(
    entries: Iterable[str | Mapping[str, Any]], variables: Mapping[str, object] | None, where: str
) -> tuple[str, ...]:
    """The texts of a list: an entry is a text, or a table with the text `sql` and a condition."""
    tables = [{"sql": entry} if isinstance(entry, str) else entry for entry in entries]
    return tuple(table["sql"] for table in tables if holds(table, variables, where))
