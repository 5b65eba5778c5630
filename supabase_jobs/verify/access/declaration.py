"""The access matrix as it is declared in TOML: identities, actions, rows, and the outcome of every cell."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from supabase_jobs.errors import ConfigError
from supabase_jobs.outcomes import OUTCOMES, is_sqlstate
from supabase_jobs.settings import read_toml
from supabase_jobs.verify.access import requests
from supabase_jobs.verify.access.requests import Request
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS
from supabase_jobs.verify.identity import NULL, Identity

FILE_NAME = "access.toml"
DEFAULT_FILE = PACKAGED_DECLARATIONS / FILE_NAME


@dataclass(frozen=True)
class Action:
    """One statement to try, and how to tell what it came to; see the head of access.toml."""

    name: str
    sql: str
    reached: str | None = None
    allowed_if: str | None = None
    control: str | None = None
    bound: str | None = None
    api: Request | None = None

    @cached_property
    def target(self) -> tuple[str, ...]:
        """The names of the parameters in what proves, as the owner, that the target is there."""
        return tuple(sorted(set(re.findall(r"%\((\w+)\)s", self.control or self.sql))))

    @cached_property
    def command(self) -> str:
        """The first word of the statement: `update`."""
        return self.sql.split(maxsplit=1)[0].lower()


@dataclass(frozen=True)
class MatrixRow:
    """An identity against whose rows: `binds` maps the SQL's parameters to the names of ids (or "null").

    `expected` maps each action to `rows`, `hidden`, `denied`, `violates`, or an SQLSTATE.
    """

    label: str
    identity: Identity
    binds: Mapping[str, str]
    expected: Mapping[str, str]


@dataclass(frozen=True)
class Matrix:
    """Rows × actions on one table, or on the functions; `object` is the table where the title says more than that."""

    title: str
    object: str
    actions: tuple[Action, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True)
class Declaration:
    """The whole file: `ids` become random UUIDs in each run, `fixture` is what the owner plants first.

    `untried` maps tables to roles to the privileges that they have and that no cell tries; `unexposed_schemas` are the
    schemas that the API must not serve.
    `cleanup` removes what a run over the API has committed: rows with ids between %(first)s and %(last)s.
    """

    ids: tuple[str, ...]
    fixture: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    placeholders: frozenset[str] = field(default=frozenset())
    cleanup: tuple[str, ...] = ()
    identities: Mapping[str, Identity] = field(default_factory=dict)
    untried: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    unexposed_schemas: tuple[str, ...] = ()

    @property
    def privileges(self) -> frozenset[tuple[str, str, str]]:
        """Table, role and privilege, in upper case, of everything that has a cell or a line."""
        cells = {
            (m.object, row.identity.role, action.command)
            for m in self.matrices
            for row in m.rows
            for action in m.actions
        }
        lines = {(table, role, p) for table, roles in self.untried.items() for role, ps in roles.items() for p in ps}
        return frozenset((table, role, privilege.upper()) for table, role, privilege in cells | lines)


def load(path: Path | None = None) -> Declaration:
    """Read a declaration (default: the packaged access.toml).

    Raises ConfigError for a cell without a declared outcome, an outcome that is none, a row, action,
    identity or id that is not declared, or a malformed file: an undeclared cell is never a passed one.
    """
    path = path or DEFAULT_FILE
    return _loaded(path, path.read_bytes() if path.is_file() else b"")


@lru_cache(maxsize=4)  # two areas read it, and `mutate` reads it for every fault
def _loaded(path: Path, _content: bytes) -> Declaration:
    try:
        return _declaration(read_toml(path))
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path.name} is not an access matrix: {error!r}", file=str(path)) from error
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error.message}", hint=error.hint, file=str(path)) from error


def _declaration(toml: Mapping[str, Any]) -> Declaration:
    _must_have_no_old_key(toml, {"hidden": "unexposed_schemas"})
    ids = tuple(toml["ids"])
    identities: dict[str, Identity] = {}
    for name, table in toml["identities"].items():
        _must_have_no_old_key(table, {"did": "previous_statement"})
        previous = {"previous": identities[table["previous"]]} if "previous" in table else {}
        identities[name] = Identity(name, **{**table, **previous})
    placeholders = {name for identity in identities.values() for name in identity.placeholders()}
    matrices: list[Matrix] = []
    for table in toml["matrix"]:
        matrices.append(_matrix(table, identities, ids, {matrix.title: matrix for matrix in matrices}))
    untried = {
        table: {role: tuple(privileges) for role, privileges in roles.items()}
        for table, roles in toml.get("untried", {}).items()
    }
    unexposed_schemas = tuple(toml.get("unexposed_schemas", ()))
    cleanup = tuple(toml.get("api", {}).get("cleanup", ()))
    return Declaration(
        ids,
        tuple(toml["fixture"]),
        tuple(matrices),
        frozenset(placeholders - set(ids)),
        cleanup,
        identities,
        untried,
        unexposed_schemas,
    )


def _must_have_no_old_key(table: Mapping[str, Any], renamed: Mapping[str, str]) -> None:
    for old, new in renamed.items():
        if old in table:
            raise ConfigError(f"{old!r} is now called {new!r}", hint="Rename the key in the file.")


def _matrix(
    table: Mapping[str, Any], identities: Mapping[str, Identity], ids: tuple[str, ...], others: Mapping[str, Matrix]
) -> Matrix:
    title = table["title"]
    head, grid = _cells(table["grid"])
    if "like" in table:  # the same actions, or some of them, for other rows
        like = others[table["like"]]
        of, actions = like.object, tuple(action for action in like.actions if action.name in head)
    else:
        of, actions = title, tuple(_action(name, action) for name, action in table["actions"].items())
    expected = _grid(title, head, grid, [action.name for action in actions])
    if set(expected) != set(table["rows"]):
        odd = sorted(set(expected) ^ set(table["rows"]))
        raise ConfigError(f"{title}: row {odd[0]!r} stands either in the grid or under rows, and must in both")

    rows = []
    for label, row in table["rows"].items():
        binds = {**{name: name for name in ids}, **row.get("with", {})}
        if unbound := {name for a in actions if a.api for name in a.api.placeholders()} - set(binds):
            raise ConfigError(f"{title}: row {label!r} has no ${min(unbound)}, which a request to the API uses")
        for unknown in (bind for bind in binds.values() if bind not in (*ids, NULL)):
            raise ConfigError(f"{title}: row {label!r} names {unknown!r}, which is not among the ids")
        if row["identity"] not in identities:
            raise ConfigError(f"{title}: row {label!r} names the unknown identity {row['identity']!r}")
        rows.append(MatrixRow(label, identities[row["identity"]], binds, expected[label]))
    return Matrix(title, of, actions, tuple(rows))


def _action(name: str, table: Mapping[str, Any]) -> Action:
    others = {key: value for key, value in table.items() if key != "api"}
    return Action(name, **others, api=requests.parse(name, table["api"]) if "api" in table else None)


def _cells(text: str) -> tuple[list[str], list[list[str]]]:
    head, *lines = [[cell.strip() for cell in line.split("|")] for line in text.strip("\n").splitlines()]
    return head[1:], lines


def _grid(title: str, head: list[str], lines: list[list[str]], actions: list[str]) -> dict[str, dict[str, str]]:
    if sorted(head) != sorted(actions):
        raise ConfigError(f"{title}: the grid's columns {head} are not the actions {actions}")
    grid = {}
    for label, *cells in lines:
        if len(cells) != len(actions):
            raise ConfigError(f"{title}: row {label!r} has {len(cells)} cells for {len(actions)} actions")
        for cell in cells:
            if cell not in OUTCOMES and not is_sqlstate(cell):
                raise ConfigError(f"{title}: row {label!r} has {cell!r}, which is no outcome")
        grid[label] = dict(zip(head, cells, strict=True))
    return grid
