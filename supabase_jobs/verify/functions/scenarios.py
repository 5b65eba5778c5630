"""Read functions.toml: scenarios of functions, triggers and cascades, with the rows that each may
change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import compress
from pathlib import Path
from string import Template
from typing import Any

from supabase_jobs.errors import ConfigError
from supabase_jobs.outcomes import REFUSALS, is_sqlstate
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.script import parameters
from supabase_jobs.settings import read_toml
from supabase_jobs.sources.variables import Value
from supabase_jobs.verify import conditions
from supabase_jobs.verify.access.matrix import load as load_access
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS, validate_declaration
from supabase_jobs.verify.fixture import Fixture
from supabase_jobs.verify.fixture import load as load_fixture

FILE_NAME = "functions.toml"
DEFAULT_FILE = PACKAGED_DECLARATIONS / FILE_NAME
INSERTED, DELETED = "inserted", "deleted"
ALL_IDS = "ids"
VERSIONS = "versions"


@dataclass(frozen=True)
class ScenarioStep:
    """One statement, its identity (None: the connection's own role), and the rows or the error it
    must result in.

    `may_be_refused`: a constraint of the project may refuse it.
    """

    call: str
    identity: Caller | None = None
    result: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    may_be_refused: bool = False


@dataclass(frozen=True)
class Scenario:
    """Consecutive steps, and every change of rows that they may make.

    `given` prepares the rows before the first step. `changes` maps the name of an id to `inserted`,
    `deleted`, or the new values of the changed columns. `requires` names scenarios: if one of them
    deviates, this one is not run. The scenario counts as unchecked if a step fails with one of
    `unchecked_errors`: a user object raised it. `without_fixture`: it runs without the users and
    rows of the fixture, and locks nothing of theirs. It `deletes` rows of a table: if that takes
    long, it is not run on a database in use. `needs` are ids whose rows it counts without naming
    them. `documented`: the project must not refuse a step, and only declared results are compared.
    `with_objects`: it takes long, and is run only where objects of the project run with the rows.
    """

    subject: str
    name: str
    steps: tuple[ScenarioStep, ...]
    given: tuple[str, ...] = ()
    changes: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    unchecked_errors: tuple[str, ...] = ()
    without_fixture: bool = False
    documented: bool = False
    deletes: str = ""
    needs: tuple[str, ...] = ()
    with_objects: bool = False

    @cached_property
    def ids(self) -> frozenset[str]:
        """The names of the ids that its statements, callers and changes need."""
        found = {*self.changes, *self.needs}
        for statement in (*self.given, *(step.call for step in self.steps)):
            found |= parameters(statement)
        for step in self.steps:
            found |= step.identity.placeholders() if step.identity else set()
        return frozenset(found)


@dataclass(frozen=True)
class ClientValues:
    """Requests whose parameters are `values` that clients choose: the caller, and statements."""

    values: Mapping[str, str] = field(default_factory=dict)
    requests: tuple[tuple[Caller, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Scenarios:
    """The whole file, with the ids, identities and fixture of its access matrix.

    `watch` is the query that shows changes: the key of each row, the row as a JSON object, and its
    version, which changes with the row (null: unknown), all as text. Each id in `fixture_ids` must
    have a row in its result before the first scenario. The statements `unchanging` change no value,
    except through user triggers.
    """

    ids: tuple[str, ...]
    fixture_ids: tuple[str, ...]
    fixture: Fixture
    watch: str
    scenarios: tuple[Scenario, ...]
    placeholders: frozenset[str]
    unchanging: tuple[str, ...] = ()
    client_values: ClientValues = field(default_factory=ClientValues)

    def without_objects(self) -> "Scenarios":
        """These without what is run only where objects of the project run with the rows."""
        return replace(self, scenarios=tuple(s for s in self.scenarios if not s.with_objects))


def load(path: Path | None = None, variables: Mapping[str, Value] | None = None) -> Scenarios:
    """Read a declaration (default: the packaged functions.toml) and its `access_matrix`.

    Leaves out the scenarios whose condition does not hold for the values of the variables. Raises
    ConfigError for an unknown key, an unknown identity, id, parameter, scenario, outcome
    or variable, a scenario that is declared twice, or a malformed file.
    """
    path = path or DEFAULT_FILE
    values = None if variables is None else tuple(sorted(variables.items()))
    # the access matrix, which is named in the file, is in its folder
    contents = tuple(
        file.read_bytes() for file in sorted({path, *path.parent.glob("*.toml")}) if file.is_file()
    )
    return _loaded(path, contents, values)


@lru_cache(maxsize=4)  # `mutate` reads it for every fault
def _loaded(
    path: Path, _contents: tuple[bytes, ...], variables: tuple[tuple[str, Value], ...] | None
) -> Scenarios:
    toml = read_toml(path)
    try:
        validate_declaration(path, toml, "functions.schema.json", "it does not declare scenarios")
        return _scenarios(path, toml, None if variables is None else dict(variables))
    except ValueError as error:  # of a placeholder
        raise ConfigError(
            f"{path.name} does not declare scenarios: {error!r}", file=str(path)
        ) from error
    except ConfigError as error:
        raise ConfigError(
            f"{path.name}: {error.message}", hint=error.hint, file=error.file or str(path)
        ) from error


def _scenarios(
    path: Path, toml: dict[str, Any], variables: Mapping[str, Value] | None
) -> Scenarios:
    matrix = (
        load_access(path.with_name(toml["access_matrix"]), variables)
        if "access_matrix" in toml
        else None
    )
    fixture_ids, absent_ids = tuple(toml["ids"]), tuple(toml.get("absent_ids", ()))
    ids = (*(matrix.ids if matrix else ()), *fixture_ids, *absent_ids)
    if duplicates := {name for name in ids if ids.count(name) > 1}:
        raise ConfigError(f"the id {min(duplicates)!r} is declared twice")
    identities = {
        **(matrix.identities if matrix else {}),
        **_identities(toml.get("identities", {})),
    }
    fixture = load_fixture(toml, ids, variables)
    if matrix is not None and (unusable := matrix.served.keys() & _used(toml["scenario"])):
        raise ConfigError(
            f"the identity {min(unusable)!r} has a previous one, which only the access matrix sets"
        )
    scenarios = tuple(_scenario(table, identities, ids) for table in toml["scenario"])
    watch = [toml["watch"]] if isinstance(toml["watch"], str) else toml["watch"]
    declared = Scenarios(
        ids=ids,
        fixture_ids=fixture_ids,
        fixture=matrix.fixture.followed_by(fixture) if matrix else fixture,
        watch="\n".join(conditions.texts(watch, variables, "watch")),
        scenarios=scenarios,
        placeholders=frozenset(
            name for text in _texts(scenarios) for name in Template(text).get_identifiers()
        )
        - set(ids),
        unchanging=tuple(toml.get("unchanging", ())),
        client_values=_client_values(toml.get("client_values", {}), identities),
    )
    _check_names(declared)
    held = [conditions.holds(table, variables, table["name"]) for table in toml["scenario"]]
    return replace(declared, scenarios=tuple(compress(scenarios, held)))


def _client_values(table: Mapping[str, Any], identities: Mapping[str, Caller]) -> ClientValues:
    requests = []
    for request in table.get("requests", ()):
        if request["as"] not in identities:
            raise ConfigError(f"client_values: unknown identity {request['as']!r}")
        requests.append((identities[request["as"]], tuple(request["statements"])))
    return ClientValues(dict(table.get("values", {})), tuple(requests))


def _identities(tables: Mapping[str, Any]) -> dict[str, Caller]:
    return {name: Caller(**table, label=name) for name, table in tables.items()}


def _used(scenarios: Sequence[Mapping[str, Any]]) -> set[str]:
    """The names of the identities of all steps."""
    steps = [step for table in scenarios for step in (table, *table.get("steps", ()))]
    return {name for step in steps if isinstance(name := step.get("as"), str)}


_STEP_KEYS = ("call", "as", "result", "error", "may_be_refused")


def _scenario(
    table: dict[str, Any], identities: Mapping[str, Caller], ids: tuple[str, ...]
) -> Scenario:
    where = f"{table.get('subject')}, {table['name']!r}"
    steps = table.get("steps", [])
    if "call" in table:
        steps = [{key: table[key] for key in _STEP_KEYS if key in table}, *steps]
    elif stray := sorted(set(_STEP_KEYS) & set(table)):
        raise ConfigError(f"{where}: the key {stray[0]!r} needs a call")
    if not steps:
        raise ConfigError(f"{where}: has no call")
    return Scenario(
        subject=table["subject"],
        name=table["name"],
        steps=tuple(_step(step, identities, where) for step in steps),
        given=tuple(table.get("given", ())),
        changes=dict(_changes(table.get("changes", {}), ids, where)),
        requires=tuple(table.get("requires", ())),
        unchecked_errors=tuple(table.get("unchecked_errors", ())),
        without_fixture=bool(table.get("without_fixture", False)),
        documented=bool(table.get("documented", False)),
        deletes=table.get("deletes", ""),
        needs=tuple(table.get("needs", ())),
        with_objects=bool(table.get("with_objects", False)),
    )


def _step(table: dict[str, Any], identities: Mapping[str, Caller], where: str) -> ScenarioStep:
    identity = table.get("as")
    if isinstance(identity, str):
        if identity not in identities:
            raise ConfigError(f"{where}: unknown identity {identity!r}")
        identity = identities[identity]
    elif identity is not None:
        identity = Caller(**identity)
    error = table.get("error")
    if error is not None and "result" in table:
        raise ConfigError(f"{where}: a call has either a result or an error")
    if error is not None and error not in REFUSALS and not is_sqlstate(error):
        raise ConfigError(
            f"{where}: {error!r} is neither an SQLSTATE nor one of {', '.join(REFUSALS)}"
        )
    rows = tuple(tuple(map(_text, row)) for row in table.get("result", ()))
    return ScenarioStep(
        call=table["call"],
        identity=identity,
        result=rows,
        error=error,
        may_be_refused=table.get("may_be_refused", False),
    )


def _changes(
    table: Mapping[str, Any], ids: tuple[str, ...], where: str
) -> Iterator[tuple[str, str | Mapping[str, str]]]:
    for names, change in table.items():
        if isinstance(change, str) and change not in (INSERTED, DELETED):
            raise ConfigError(
                f"{where}: the change of {names!r} is {change!r}; allowed: {INSERTED}, {DELETED}"
                " or a table of columns"
            )
        for name in names.split():
            if name not in ids:
                raise ConfigError(f"{where}: changes names {name!r}, which is not among the ids")
            yield (
                name,
                change if isinstance(change, str) else {c: _text(v) for c, v in change.items()},
            )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(scenarios: tuple[Scenario, ...]) -> Iterator[str]:
    """Every text of the scenarios that may contain a placeholder."""
    for scenario in scenarios:
        for step in scenario.steps:
            yield from (value for row in step.result for value in row)
            yield from (
                f"${{{name}}}" for name in (step.identity.placeholders() if step.identity else ())
            )
        for change in scenario.changes.values():
            yield from change.values() if isinstance(change, Mapping) else ()


def _check_names(declared: Scenarios) -> None:
    watch = declared.watch.replace(f"%({VERSIONS})s", "")
    statements = [*declared.fixture.statements, watch, *declared.unchanging]
    earlier: set[str] = set()
    for scenario in declared.scenarios:
        where = f"{scenario.subject}, {scenario.name!r}"
        if unknown := set(scenario.requires) - earlier:
            raise ConfigError(
                f"{where}: requires {min(unknown)!r}, but no earlier scenario has that name"
            )
        if scenario.name in earlier:
            raise ConfigError(f"{where}: an earlier scenario has the same name")
        earlier.add(scenario.name)
        statements += [*scenario.given, *(step.call for step in scenario.steps)]
    for statement in statements:
        if unknown := parameters(statement) - {*declared.ids, ALL_IDS}:
            raise ConfigError(f"%({min(unknown)})s in a statement is not among the ids")
