"""The access matrix as declared in access.toml: identities, actions, rows, and the outcome of every
cell.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import OUTCOMES, is_sqlstate
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.impersonation import NULL
from supabase_jobs.session.request import COUNTED, Request, equal, to_function, to_table
from supabase_jobs.session.script import parameters
from supabase_jobs.settings import read_toml
from supabase_jobs.sources.variables import Value
from supabase_jobs.verify import conditions
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS, validate_declaration
from supabase_jobs.verify.fixture import Fixture
from supabase_jobs.verify.fixture import load as load_fixture

FILE_NAME = "access.toml"
DEFAULT_FILE = PACKAGED_DECLARATIONS / FILE_NAME

VERBS = ("select", "insert", "upsert", "update", "delete", "rpc")
# of the declared tables and functions
_SCHEMA = "public"


@dataclass(frozen=True)
class DeclaredRequest:
    """An action as a request to the API. `verb` is one of VERBS, `target` a table or a function of
    the API.

    `columns` are the columns of a select, `values` the row or the arguments, `where` the columns
    that must be equal. A text `$name`, also within an array or an object, is the parameter of that
    name. `returning`: the response contains the written rows; otherwise it contains only their
    number.
    """

    verb: str
    target: str
    columns: Sequence[str] = ("*",)
    values: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    returning: bool = False
    on_conflict: str = ""

    def request(self, caller: Caller, parameter: Callable[[str], str | None]) -> Request:
        """The request of a caller, in which each parameter is what the function returns."""
        query = [("select", ",".join(self.columns))] if self.verb == "select" else []
        query += [("on_conflict", self.on_conflict)] if self.on_conflict else []
        query += [equal(*pair) for pair in with_parameters(self.where, parameter).items()]
        if self.verb == "rpc":
            arguments = with_parameters(self.values, parameter)
            return to_function(self.target, caller, arguments, query=query, profile=_SCHEMA)
        has_body = self.verb not in ("select", "delete")
        return to_table(
            self.verb,
            self.target,
            caller,
            query=query,
            profile=_SCHEMA,
            prefer=self._prefer(),
            values=with_parameters(self.values, parameter) if has_body else None,
        )

    def _prefer(self) -> str:
        merges = "resolution=merge-duplicates," if self.verb == "upsert" else ""
        return merges + ("return=representation" if self.returning else COUNTED)

    def placeholders(self) -> set[str]:
        """The names of its parameters."""
        names: set[str] = set()
        with_parameters([*self.values.values(), *self.where.values()], names.add)
        return names


def with_parameters(value: Any, parameter: Callable[[str], Any]) -> Any:
    """A value of a request in which each text `$name` is replaced by what the function returns for
    the name.
    """
    match value:
        case str() if value.startswith("$"):
            return parameter(value[1:])
        case Mapping():
            return {key: with_parameters(item, parameter) for key, item in value.items()}
        case list():
            return [with_parameters(item, parameter) for item in value]
    return value


@dataclass(frozen=True)
class DeclaredAction:
    """A statement to run as each identity, and how to find its outcome; see the head of
    access.toml.
    """

    name: str
    sql: str
    reached: str | None = None
    unrestricted_if: str | None = None
    control: str | None = None
    row_limit_errors: Sequence[str] = ()
    needs: Sequence[str] = ()
    api: DeclaredRequest | None = None

    @cached_property
    def target(self) -> tuple[str, ...]:
        """The names of the parameters that the control statement uses."""
        return tuple(sorted(parameters(self.control or self.sql)))

    @cached_property
    def command(self) -> str:
        """The first word of the statement: `update`."""
        return self.sql.split(maxsplit=1)[0].lower()


@dataclass(frozen=True)
class Served:
    """An earlier request on the same connection: a caller and the statement that it ran."""

    caller: Caller
    statement: str


@dataclass(frozen=True)
class MatrixRow:
    """An identity, and the target rows of its actions: `binds` maps SQL parameters to the names of
    ids, or to "null".

    `expected` maps each action to `rows`, `hidden`, `denied`, `violates`, or an SQLSTATE. `served`
    are the requests before on the same connection, in their order.
    """

    label: str
    identity: Caller
    binds: Mapping[str, str]
    expected: Mapping[str, str]
    served: tuple[Served, ...] = ()

    def ids(self, action: DeclaredAction) -> set[str]:
        """The names of the ids that an action of the row needs: those of its caller too."""
        texts = (action.sql, action.control, action.reached, action.unrestricted_if)
        used = {name for text in texts if text is not None for name in parameters(text)}
        named = {self.binds[name] for name in used}
        return named.union(action.needs) | self.identity.placeholders()

    def filled(self, texts: Mapping[str, str]) -> "MatrixRow":
        """The row with the placeholders of its callers replaced."""
        served = tuple(replace(one, caller=one.caller.filled(texts)) for one in self.served)
        identity = self.identity.filled(texts)
        return replace(
            self,
            identity=identity.after(served[-1].caller) if served else identity,
            served=served,
        )


@dataclass(frozen=True)
class Matrix:
    """Rows and actions for the table `object`, or for the functions. Several matrices may share an
    object. The cells `not_run`, by row and action, need a row that the project refuses.
    """

    title: str
    object: str
    actions: tuple[DeclaredAction, ...]
    rows: tuple[MatrixRow, ...]
    not_run: frozenset[tuple[str, str]] = frozenset()

    def without(self, left_out: frozenset[str]) -> "Matrix":
        """The matrix without the cells that name one of these ids."""
        cells = [(row, action) for row in self.rows for action in self.actions]
        not_run = {(r.label, a.name) for r, a in cells if not left_out.isdisjoint(r.ids(a))}
        return replace(self, not_run=frozenset(not_run))


@dataclass(frozen=True)
class Given:
    """A statement of a caller; None: of the connection's own role."""

    sql: str
    caller: Caller | None = None


@dataclass(frozen=True)
class Kept:
    """A query whose rows no scheduled job changes, and what one does that changes them."""

    does: str
    sql: str
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class Reach:
    """The rows of others than the first user, on which objects of the project are tried.

    The statements `given` happen before, as documented; `watch` returns the rows that must stay,
    with a name for their kind; `shown` are texts that nobody else may read; `deletes` is what an
    owner can do. Arguments and rows name `ids`, and contain `texts`. By `chosen`, the others write
    values that they choose into rows of their own: the setting verify.chosen. Each of `alone`
    removes the rows of all but one caller, and each of `states` gives all jobs another state.
    `owners` returns a text for the owners of all jobs, which no state changes.
    `joined` returns a row after the guest whose id is `secret` has become a user. `present` are
    the statements that make people and jobs of now, of which scheduled jobs change nothing `kept`.
    `owned` inserts what the user `owner` owns, and `belongings` returns it. The functions `callers`
    return nothing but who calls. A job can have the `state`. The `requests` work, one after
    another. The cleanup deletes rows such as those of `cleaned`: the names of their ids, by their
    tables.
    """

    given: tuple[Given, ...] = ()
    alone: tuple[Given, ...] = ()
    states: tuple[str, ...] = ()
    watch: str = ""
    shown: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    chosen: str = ""
    secret: str = ""
    joined: str = ""
    owners: str = ""
    owner: str = ""
    owned: tuple[str, ...] = ()
    belongings: str = ""
    present: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    callers: tuple[str, ...] = ()
    state: str = ""
    requests: tuple[Given, ...] = ()
    cleaned: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AccessDeclaration:
    """The contents of access.toml. `ids` become UUIDs; the owner inserts the `fixture` first.

    `untested_privileges` maps tables to roles to privileges that a role has and that no cell tests.
    `unexposed_schemas` are the schemas that the API must not expose. The statements `cleanup`
    delete what a run through the API has committed: rows with one of %(ids)s. `served` maps the
    names of identities to the requests before on the same connection. `reach` is for the objects of
    the project.
    """

    ids: tuple[str, ...]
    fixture: Fixture
    matrices: tuple[Matrix, ...]
    placeholders: frozenset[str] = field(default=frozenset())
    cleanup: tuple[str, ...] = ()
    identities: Mapping[str, Caller] = field(default_factory=dict)
    served: Mapping[str, tuple[Served, ...]] = field(default_factory=dict)
    untested_privileges: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    unexposed_schemas: tuple[str, ...] = ()
    reach: Reach = field(default_factory=Reach)

    def without(self, left_out: frozenset[str]) -> "AccessDeclaration":
        """The declaration without the fixture rows of these ids, and the cells that name them."""
        if not left_out:
            return self
        matrices = tuple(matrix.without(left_out) for matrix in self.matrices)
        return replace(self, fixture=self.fixture.without(left_out), matrices=matrices)

    @property
    def privileges(self) -> frozenset[tuple[str, str, str]]:
        """Every declared privilege, tested or not: table, role, and privilege in upper case."""
        tested = {
            (matrix.object, row.identity.role, action.command)
            for matrix in self.matrices
            for row in matrix.rows
            for action in matrix.actions
        }
        untested = {
            (table, role, privilege)
            for table, roles in self.untested_privileges.items()
            for role, privileges in roles.items()
            for privilege in privileges
        }
        return frozenset(
            (table, role, privilege.upper()) for table, role, privilege in tested | untested
        )


def load(
    path: Path | None = None, variables: Mapping[str, Value] | None = None
) -> AccessDeclaration:
    """Read a declaration (default: the packaged access.toml), as it holds for the values of the
    variables.

    Raises ConfigError for a cell without an outcome, an unknown outcome, row, action, identity, id,
    key or variable, and a malformed file.
    """
    path = path or DEFAULT_FILE
    values = None if variables is None else tuple(sorted(variables.items()))
    return _loaded(path, path.read_bytes() if path.is_file() else b"", values)


@lru_cache(maxsize=4)  # two areas read it, and `mutate` reads it for every fault
def _loaded(
    path: Path, _content: bytes, variables: tuple[tuple[str, Value], ...] | None
) -> AccessDeclaration:
    toml = read_toml(path)
    try:
        validate_declaration(path, toml, "access.schema.json", "it is not an access matrix")
        return _declaration(toml, None if variables is None else dict(variables))
    except ConfigError as error:
        raise ConfigError(
            f"{path.name}: {error.message}", hint=error.hint, file=str(path)
        ) from error


def _declaration(
    toml: Mapping[str, Any], variables: Mapping[str, Value] | None
) -> AccessDeclaration:
    ids = tuple(toml["ids"])
    identities: dict[str, Caller] = {}
    served: dict[str, tuple[Served, ...]] = {}
    for name, table in toml["identities"].items():
        request = dict(table)
        previous, statement = request.pop("previous", None), request.pop("previous_statement", "")
        if previous is not None:
            before = identities[previous]
            if served.get(previous):
                before = before.after(served[previous][-1].caller)
            served[name] = (*served.get(previous, ()), Served(before, statement))
        identities[name] = Caller(**request, label=name)
    placeholders = {name for identity in identities.values() for name in identity.placeholders()}
    matrices: list[Matrix] = []
    for table in toml["matrix"]:
        earlier = {matrix.title: matrix for matrix in matrices}
        matrices.append(_matrix(table, identities, served, ids, earlier, variables))
    untested_privileges: dict[str, dict[str, tuple[str, ...]]] = {}
    for table_name, roles in toml.get("untested_privileges", {}).items():
        untested_privileges[table_name] = {role: tuple(names) for role, names in roles.items()}
    return AccessDeclaration(
        ids=ids,
        fixture=load_fixture(toml, ids, variables),
        matrices=tuple(matrices),
        placeholders=frozenset(placeholders - set(ids)),
        cleanup=tuple(toml.get("api", {}).get("cleanup", ())),
        identities=identities,
        served=served,
        untested_privileges=untested_privileges,
        unexposed_schemas=tuple(toml.get("unexposed_schemas", ())),
        reach=_reach(toml.get("reach", {}), identities, variables),
    )


def _reach(
    table: Mapping[str, Any],
    identities: Mapping[str, Caller],
    variables: Mapping[str, object] | None,
) -> Reach:
    return Reach(
        given=tuple(_given(one, identities) for one in table.get("given", ())),
        states=tuple(table.get("states", ())),
        alone=tuple(_given(one, identities) for one in table.get("alone", ())),
        watch=table.get("watch", ""),
        shown=tuple(table.get("shown", ())),
        deletes=tuple(table.get("deletes", ())),
        ids=tuple(table.get("ids", ())),
        texts=tuple(table.get("texts", ())),
        chosen=table.get("chosen", ""),
        secret=table.get("secret", ""),
        joined=table.get("joined", ""),
        owners=table.get("owners", ""),
        owner=table.get("owner", ""),
        owned=tuple(table.get("owned", ())),
        belongings=table.get("belongings", ""),
        present=tuple(table.get("present", ())),
        callers=tuple(table.get("callers", ())),
        state=table.get("state", ""),
        requests=tuple(_given(one, identities) for one in table.get("requests", ())),
        cleaned=table.get("cleaned", {}),
        kept=tuple(
            Kept(one["does"], one["sql"], Severity(one.get("severity", Severity.ERROR)))
            for one in table.get("kept", ())
            if conditions.holds(one, variables, "kept")
        ),
    )


def _given(one: str | Mapping[str, str], identities: Mapping[str, Caller]) -> Given:
    if isinstance(one, str):
        return Given(one)
    if one["as"] not in identities:
        raise ConfigError(f"reach: unknown identity {one['as']!r}")
    return Given(one["sql"], identities[one["as"]])


def _matrix(
    table: Mapping[str, Any],
    identities: Mapping[str, Caller],
    served: Mapping[str, tuple[Served, ...]],
    ids: tuple[str, ...],
    earlier: Mapping[str, Matrix],
    variables: Mapping[str, Value] | None,
) -> Matrix:
    title = table["title"]
    columns, lines = _cells(table["grid"])
    left_out: set[str] = set()
    if "like" in table:
        like = earlier[table["like"]]
        object, actions = (
            like.object,
            tuple(action for action in like.actions if action.name in columns),
        )
    else:
        object, actions = (
            title,
            tuple(_action(name, action) for name, action in table["actions"].items()),
        )
        left_out = {
            name
            for name, action in table["actions"].items()
            if not conditions.holds(action, variables, title)
        }
    names = [action.name for action in actions]
    if sorted(columns) != sorted(names):
        raise ConfigError(f"{title}: the grid's columns {columns} are not the actions {names}")
    expected = _expected(title, columns, lines)
    for override in table.get("overrides", ()):
        _override(title, expected, override, variables)
    actions = tuple(action for action in actions if action.name not in left_out)
    if unmatched := sorted(set(expected) ^ set(table["rows"])):
        raise ConfigError(
            f"{title}: row {unmatched[0]!r} is only in the grid or only under rows, but must be in"
            " both"
        )

    rows = []
    for label, row in table["rows"].items():
        binds = {**{name: name for name in ids}, **row.get("with", {})}
        if unbound := {name for a in actions if a.api for name in a.api.placeholders()} - set(
            binds
        ):
            raise ConfigError(
                f"{title}: row {label!r} has no ${min(unbound)}, which a request to the API uses"
            )
        for unknown in (bind for bind in binds.values() if bind not in (*ids, NULL)):
            raise ConfigError(
                f"{title}: row {label!r} names {unknown!r}, which is not among the ids"
            )
        if row["identity"] not in identities:
            raise ConfigError(
                f"{title}: row {label!r} names the unknown identity {row['identity']!r}"
            )
        name = row["identity"]
        rows.append(
            MatrixRow(
                label=label,
                identity=identities[name],
                binds=binds,
                expected=expected[label],
                served=served.get(name, ()),
            )
        )
    return Matrix(title=title, object=object, actions=actions, rows=tuple(rows))


def _action(name: str, table: Mapping[str, Any]) -> DeclaredAction:
    others = {key: value for key, value in table.items() if key not in ("api", "source")}
    return DeclaredAction(
        name=name, **others, api=parse_request(name, table["api"]) if "api" in table else None
    )


def parse_request(action: str, table: Mapping[str, Any]) -> DeclaredRequest:
    """The request that the `api` table of an action describes. Raises ConfigError if the table is
    not a request.
    """
    verbs = [verb for verb in VERBS if verb in table]
    others = {key: value for key, value in table.items() if key not in VERBS}
    if len(verbs) != 1:
        raise ConfigError(
            f"action {action!r}: its api table must have exactly one of {', '.join(VERBS)}"
        )
    try:
        return DeclaredRequest(verb=verbs[0], target=table[verbs[0]], **others)
    except TypeError as error:
        raise ConfigError(f"action {action!r}: its api table is not a request: {error}") from error


def _cells(grid: str) -> tuple[list[str], list[list[str]]]:
    lines = grid.strip("\n").splitlines()
    columns, *cells = [list(map(str.strip, line.split("|"))) for line in lines]
    return columns[1:], cells


def _override(
    title: str,
    expected: dict[str, dict[str, str]],
    override: Mapping[str, Any],
    variables: Mapping[str, Value] | None,
) -> None:
    """Replace the outcomes of some rows and actions, if the condition of the override holds."""
    columns, lines = _cells(override["grid"])
    outcomes = _expected(title, columns, lines)
    if unknown := [label for label in outcomes if label not in expected]:
        raise ConfigError(f"{title}: an override names the unknown row {unknown[0]!r}")
    actions = {action for cells in expected.values() for action in cells}
    if unknown := [action for action in columns if action not in actions]:
        raise ConfigError(f"{title}: an override names the unknown action {unknown[0]!r}")
    if conditions.holds(override, variables, title):
        for label, cells in outcomes.items():
            expected[label].update(cells)


def _expected(title: str, columns: list[str], lines: list[list[str]]) -> dict[str, dict[str, str]]:
    """The expected outcome of each action, by the label of the row."""
    expected = {}
    for label, *cells in lines:
        if len(cells) != len(columns):
            raise ConfigError(
                f"{title}: row {label!r} has {len(cells)} cells for {len(columns)} actions"
            )
        for cell in cells:
            if cell not in OUTCOMES and not is_sqlstate(cell):
                raise ConfigError(f"{title}: row {label!r} has {cell!r}, which is not an outcome")
        expected[label] = dict(zip(columns, cells, strict=True))
    return expected
