"""The conditions `if` and `unless` of declarations on variables.

A variable is set unless its value is 0, false or empty.
"""

from collections.abc import Mapping
from typing import Any

from supabase_jobs.errors import ConfigError


def holds(table: Mapping[str, Any], variables: Mapping[str, object] | None, where: str) -> bool:
    """Whether all variables of `if` are set, and none of `unless`. Without `variables`, none is
    set.

    Raises ConfigError for a name that is not among the variables.
    """
    wanted, unwanted = (tuple(table.get(key, ())) for key in ("if", "unless"))
    for name in (*wanted, *unwanted):
        if variables is not None and name not in variables:
            raise ConfigError(f"{where}: {name!r} is not a variable of the SQL sources")
    values = variables or {}
    return all(values.get(name) for name in wanted) and not any(
        values.get(name) for name in unwanted
    )
