"""Declarations: their form, and the conditions `if` and `unless` on variables.

A variable is set unless its value is 0, false or empty.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import deviation
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS


def validate(path: Path, toml: Mapping[str, Any], schema: str, deviates: str) -> None:
    """Raise ConfigError for a declaration that deviates from its JSON Schema; `deviates` says so.

    The packaged declarations are not validated: that takes a tenth of a second, and tests do it.
    """
    if path.parent == PACKAGED_DECLARATIONS:
        return
    found = deviation(toml, PACKAGED_DECLARATIONS / schema)
    if found is None:
        return
    where = ", ".join(found.path) or "the file"
    message = f"{where}: {found.problem}"
    raise ConfigError(message if found.key else f"{deviates}: {message}", hint=found.hint)


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
