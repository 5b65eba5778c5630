"""What functions, triggers and cascades must do, as it is declared in TOML: scenarios, and the rows they change."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from supabase_jobs.errors import ConfigError
from supabase_jobs.outcomes import is_sqlstate
from supabase_jobs.settings import read_toml
from supabase_jobs.verify.access import declaration
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS
from supabase_jobs.verify.identity import Identity

FILE_NAME = "functions.toml"
DEFAULT_FILE = PACKAGED_DECLARATIONS / FILE_NAME
REFUSALS = ("denied", "violates")
INSERTED, DELETED = "inserted", "deleted"
ALL_IDS = "ids"

_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True)
class Step:
    """One statement, as an identity (None: the connection's own role), and the rows or the error it must come to."""

    call: str
    identity: Identity | None = None
    result: tuple[tuple[str, ...], ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Scenario:
    """Steps in a row on top of what `given` makes, and every change of rows that they may leave behind.

    `changes` maps the name of an id to `inserted`, `deleted`, or the new values of the columns that change. The
    scenario is not run where one of those named in `after` was not as declared. Errors in `unjudged` mean that
    something of the project's own was in the way.
    """

    subject: str
    name: str
    steps: tuple[Step, ...]
    given: tuple[str, ...] = ()
    changes: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenarios:
    """The whole file, and what it takes over from an access matrix.

    `watch` is the query by which changes are seen, one JSON object of key → row; each id in `planted` must have a row
    in it before anything is tried.
    """

    ids: tuple[str, ...]
    planted: tuple[str, ...]
    fixture: tuple[str, ...]
    watch: str
    scenarios: tuple[Scenario, ...]
    placeholders: frozenset[str]


def load(path: Path | None = None) -> Scenarios:
    """Read a declaration (default: the packaged functions.toml), and the access matrix that it `uses`.

    Raises ConfigError for an unknown key, identity, id, parameter or scenario, an outcome that is none, a scenario
    that is declared twice, or a malformed file.
    """
    path = path or DEFAULT_FILE
    try:
        return _scenarios(path, read_toml(path))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path.name} does not declare scenarios: {error!r}", file=str(path)) from error
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error.message}", hint=error.hint, file=error.file or str(path)) from error


def _scenarios(path: Path, toml: dict[str, Any]) -> Scenarios:
    _only(toml, {"uses", "ids", "absent", "fixture", "identities", "watch", "scenario"}, "the file")
    used = declaration.load(path.with_name(toml["uses"])) if "uses" in toml else None
    planted, absent = tuple(toml["ids"]), tuple(toml.get("absent", ()))
    ids = (*(used.ids if used else ()), *planted, *absent)
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise ConfigError(f"the id {min(twice)!r} is declared twice")
    identities = {**(used.identities if used else {}), **_identities(toml.get("identities", {}))}
    scenarios = tuple(_scenario(table, identities, ids) for table in toml["scenario"])
    made = Scenarios(
        ids,
        planted,
        (*(used.fixture if used else ()), *toml["fixture"]),
        toml["watch"],
        scenarios,
        frozenset(name for text in _texts(scenarios) for name in Template(text).get_identifiers()) - set(ids),
    )
    _names_are_known(made)
    return made


def _identities(tables: Mapping[str, Any]) -> dict[str, Identity]:
    return {name: Identity(name, **table) for name, table in tables.items()}


def _scenario(table: dict[str, Any], identities: Mapping[str, Identity], ids: tuple[str, ...]) -> Scenario:
    where = f"{table['of']}, {table['name']!r}"
    _only(table, {"of", "name", "given", "steps", "changes", "after", "unjudged", *_STEP}, where)
    steps = table.get("steps", [])
    if "call" in table:
        steps = [{key: table[key] for key in _STEP if key in table}, *steps]
    elif stray := sorted(_STEP & set(table)):
        raise ConfigError(f"{where}: {stray[0]!r} stands beside no call")
    if not steps:
        raise ConfigError(f"{where}: nothing is called")
    return Scenario(
        table["of"],
        table["name"],
        tuple(_step(step, identities, where) for step in steps),
        tuple(table.get("given", ())),
        dict(_changes(table.get("changes", {}), ids, where)),
        tuple(table.get("after", ())),
        tuple(table.get("unjudged", ())),
    )


_STEP = {"call", "as", "result", "error"}


def _step(table: dict[str, Any], identities: Mapping[str, Identity], where: str) -> Step:
    _only(table, _STEP, where)
    identity = table.get("as")
    if isinstance(identity, str):
        if identity not in identities:
            raise ConfigError(f"{where}: the unknown identity {identity!r}")
        identity = identities[identity]
    elif identity is not None:
        identity = Identity("", **identity)
    error = table.get("error")
    if error is not None and "result" in table:
        raise ConfigError(f"{where}: a result and an error, and it can only come to one of them")
    if error is not None and error not in REFUSALS and not is_sqlstate(error):
        raise ConfigError(f"{where}: {error!r} is no SQLSTATE, nor one of {', '.join(REFUSALS)}")
    rows = tuple(tuple(_text(value) for value in row) for row in table.get("result", ()))
    return Step(table["call"], identity, rows, error)


def _changes(
    table: Mapping[str, Any], ids: tuple[str, ...], where: str
) -> Iterator[tuple[str, str | Mapping[str, str]]]:
    for names, change in table.items():
        if isinstance(change, str) and change not in (INSERTED, DELETED):
            raise ConfigError(f"{where}: {names!r} is {change!r}, and not {INSERTED}, {DELETED} or a table of columns")
        for name in names.split():
            if name not in ids:
                raise ConfigError(f"{where}: {name!r} is to change, and is not among the ids")
            yield name, change if isinstance(change, str) else {c: _text(v) for c, v in change.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(scenarios: tuple[Scenario, ...]) -> Iterator[str]:
    """Every text of the scenarios in which a placeholder may stand."""
    for scenario in scenarios:
        for step in scenario.steps:
            yield from (value for row in step.result for value in row)
            yield from (f"${{{name}}}" for name in (step.identity.placeholders() if step.identity else ()))
        for change in scenario.changes.values():
            yield from change.values() if isinstance(change, Mapping) else ()


def _names_are_known(made: Scenarios) -> None:
    statements = [*made.fixture, made.watch]
    seen: set[str] = set()
    for scenario in made.scenarios:
        where = f"{scenario.subject}, {scenario.name!r}"
        if unknown := set(scenario.after) - seen:
            raise ConfigError(f"{where}: comes after {min(unknown)!r}, and no scenario before it has that name")
        if scenario.name in seen:
            raise ConfigError(f"{where}: the name is taken; `after` goes by it")
        seen.add(scenario.name)
        statements += [*scenario.given, *(step.call for step in scenario.steps)]
    for statement in statements:
        if unknown := set(_PARAMETER.findall(statement)) - {*made.ids, ALL_IDS}:
            raise ConfigError(f"%({min(unknown)})s in a statement is not among the ids")


def _only(table: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := set(table) - known:
        raise ConfigError(f"{where}: unknown key {min(unknown)!r}")
