"""The variables of a set of SQL sources: declared once in its manifest, overridden by a project."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from supabase_jobs.errors import ConfigError

Value = str | int | bool

_TYPES: Mapping[type, str] = {str: "a string", int: "an integer", bool: "true or false"}
_INTEGER_MAX = 2**31 - 1


@dataclass(frozen=True)
class Variable:
    """A declared variable. Its default gives its type; `pattern` must match a whole string."""

    name: str
    default: Value
    description: str
    pattern: str | None = None
    minimum: int | None = None


def parse_declarations(tables: Mapping[str, Any]) -> dict[str, Variable]:
    """The `[variables.*]` tables of a manifest as Variables; ConfigError for a malformed one."""
    return {name: _declaration(name, table) for name, table in tables.items()}


def resolve(declared: Mapping[str, Variable], overrides: Mapping[str, object]) -> dict[str, Value]:
    """The value of every declared variable: the override where there is one, else the default.

    Raises ConfigError (exit 2), naming the variable, for one that is not declared, has the wrong
    type, or breaks its declared limits.
    """
    for name in overrides:
        if name not in declared:
            near = get_close_matches(name, declared, n=1)
            raise ConfigError(
                f"unknown variable {name!r}",
                hint=f"Did you mean {near[0]!r}?" if near else f"Known variables: {', '.join(sorted(declared))}.",
            )
    return {name: _checked(variable, overrides.get(name, variable.default)) for name, variable in declared.items()}


def _declaration(name: str, table: Any) -> Variable:
    try:
        variable = Variable(name, **table)
    except TypeError as error:
        raise ConfigError(f"manifest: variable {name!r} is declared wrongly: {error}") from error
    if type(variable.default) not in _TYPES:
        raise ConfigError(f"manifest: the default of variable {name!r} must be a string, an integer or a boolean")
    _checked(variable, variable.default)
    return variable


def _checked(variable: Variable, value: object) -> Value:
    def refuse(why: str) -> ConfigError:
        return ConfigError(f"variable {variable.name!r}: {why}", hint=f"It is {variable.description}.")

    wanted = type(variable.default)
    if type(value) is not wanted:  # not isinstance: true is an int, and no number of days
        raise refuse(f"must be {_TYPES[wanted]}, not {value!r}")
    if isinstance(value, str):
        if any(ord(c) < 32 or c in "\\$\x7f" for c in value):
            # A backslash needs an E'' literal, at which the Supabase CLI splits statements wrongly; a
            # dollar sign could end the $$ of a function body that the value stands in.
            raise refuse(f"must hold no backslash, dollar sign or control character, but is {value!r}")
        if variable.pattern and not re.fullmatch(variable.pattern, value):
            raise refuse(f"{value!r} does not match {variable.pattern}")
        return value
    if isinstance(value, bool):
        return value
    assert isinstance(value, int)  # noqa: S101  the types were compared above
    if variable.minimum is not None and value < variable.minimum:
        raise refuse(f"must be {variable.minimum} or more, not {value}")
    if abs(value) > _INTEGER_MAX:
        raise refuse(f"{value} does not fit a PostgreSQL integer")
    return value
