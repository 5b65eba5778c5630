"""The variables of SQL sources: declared in their manifest, overridden by a project."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources import cron

Value = str | int | bool

_TYPES: Mapping[type, str] = {str: "a string", int: "an integer", bool: "true or false"}
# format → the function that returns what is wrong with a string, or None
_FORMATS: Mapping[str, Callable[[str], str | None]] = {"cron": cron.problem}
_INTEGER_MAX = 2**31 - 1


@dataclass(frozen=True)
class Variable:
    """A declared variable. Its type is that of its default.

    `pattern` must match the whole string; `format` is a key of `_FORMATS`.
    """

    name: str
    default: Value
    description: str
    pattern: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    format: str | None = None


def parse_declarations(tables: Mapping[str, Any]) -> dict[str, Variable]:
    """The variables that the `[variables.*]` tables of a valid manifest declare. Raises ConfigError
    for a default out of its limits.
    """
    return {name: _declaration(name, table) for name, table in tables.items()}


def resolve(declared: Mapping[str, Variable], overrides: Mapping[str, object]) -> dict[str, Value]:
    """The value of every declared variable: its override, else its default.

    Raises ConfigError (exit 2) with the name of a variable that is not declared, has the wrong
    type, or is out of its limits.
    """
    for name in overrides:
        if name not in declared:
            near = get_close_matches(name, declared, n=1)
            raise ConfigError(
                f"unknown variable {name!r}",
                hint=f"Did you mean {near[0]!r}?"
                if near
                else f"Known variables: {', '.join(sorted(declared))}.",
            )
    return {
        name: _checked(variable, overrides.get(name, variable.default))
        for name, variable in declared.items()
    }


def _declaration(name: str, table: Any) -> Variable:
    variable = Variable(name=name, **table)
    _checked(variable, variable.default)
    return variable


def _checked(variable: Variable, value: object) -> Value:
    def invalid(why: str) -> ConfigError:
        return ConfigError(
            f"variable {variable.name!r}: {why}", hint=f"Description: {variable.description}."
        )

    wanted = type(variable.default)
    if type(value) is not wanted:  # not isinstance: True is an int
        raise invalid(f"must be {_TYPES[wanted]}, not {value!r}")
    if isinstance(value, str):
        if any(ord(c) < 32 or c in "\\$\x7f" for c in value):
            # The Supabase CLI splits statements wrongly at the E'' literal that a backslash needs.
            # A dollar sign could end the $$ quote of a function body that contains the value.
            raise invalid(
                "must not contain a backslash, a dollar sign or a control character, but is"
                f" {value!r}"
            )
        if variable.pattern and not re.fullmatch(variable.pattern, value):
            raise invalid(f"{value!r} does not match {variable.pattern}")
        if variable.format and (problem := _FORMATS[variable.format](value)):
            raise invalid(problem)
        return value
    if isinstance(value, bool):
        return value
    assert isinstance(value, int)  # noqa: S101  the types were compared above
    if variable.minimum is not None and value < variable.minimum:
        raise invalid(f"must be {variable.minimum} or more, not {value}")
    if variable.maximum is not None and value > variable.maximum:
        raise invalid(f"must be {variable.maximum} or less, not {value}")
    if abs(value) > _INTEGER_MAX:
        raise invalid(f"{value} does not fit a PostgreSQL integer")
    return value
