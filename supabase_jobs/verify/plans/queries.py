"""Read plans.toml: the fast queries, each with its index and its identities."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supabase_jobs.errors import ConfigError
from supabase_jobs.session.caller import Caller
from supabase_jobs.settings import read_toml
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS, validate_declaration

FILE_NAME = "plans.toml"
DEFAULT_FILE = PACKAGED_DECLARATIONS / FILE_NAME


@dataclass(frozen=True)
class Query:
    """One query; the comment at the top of plans.toml describes each key."""

    name: str
    sql: str
    index: str
    columns: tuple[str, ...]
    ordered: bool
    identities: tuple[Caller, ...]


@dataclass(frozen=True)
class FastQueries:
    """The whole file. Each run replaces `ids` with random UUIDs; variables must fill
    `placeholders`.
    """

    ids: tuple[str, ...]
    identities: tuple[Caller, ...]
    queries: tuple[Query, ...]
    placeholders: frozenset[str]


def load(path: Path | None = None) -> FastQueries:
    """Read a declaration (default: the packaged plans.toml).

    Raises ConfigError for an unknown identity, two queries of one name, an unknown or missing key,
    a query without an identity, or a malformed file.
    """
    path = path or DEFAULT_FILE
    toml = read_toml(path)
    try:
        validate_declaration(path, toml, "plans.schema.json", "it does not declare fast queries")
        return _fast_queries(toml)
    except ConfigError as error:
        raise ConfigError(
            f"{path.name}: {error.message}", hint=error.hint, file=str(path)
        ) from error


def _fast_queries(toml: Mapping[str, Any]) -> FastQueries:
    ids = tuple(toml["ids"])
    identities = {name: Caller(**table, label=name) for name, table in toml["identities"].items()}
    placeholders = {name for identity in identities.values() for name in identity.placeholders()}
    queries = tuple(_query(table, identities) for table in toml["query"])
    names = [query.name for query in queries]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two queries have the name {min(duplicates)!r}")
    return FastQueries(ids, tuple(identities.values()), queries, frozenset(placeholders - set(ids)))


def _query(table: Mapping[str, Any], identities: Mapping[str, Caller]) -> Query:
    name = table["name"]
    for identity in table["as"]:
        if identity not in identities:
            raise ConfigError(f"query {name!r}: unknown identity {identity!r}")
    if "." not in table["index"]:
        raise ConfigError(f"query {name!r}: index {table['index']!r} has no schema")
    return Query(
        name=name,
        sql=table["sql"],
        index=table["index"],
        columns=tuple(table["columns"]),
        ordered=bool(table.get("ordered", False)),
        identities=tuple(identities[identity] for identity in table["as"]),
    )
