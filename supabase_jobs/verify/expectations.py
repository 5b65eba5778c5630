"""The expectations of `verify`: the rendered SQL sources of a project, and their declarations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supabase_jobs.errors import ConfigError
from supabase_jobs.projects.exposed_schemas import project_ref
from supabase_jobs.settings import AllowedEntry, Settings, deviation
from supabase_jobs.sources.config_toml import ApiSettings, load_api_settings
from supabase_jobs.sources.files import load_migrations
from supabase_jobs.sources.project import rendered, sources, variables
from supabase_jobs.sources.render import check_excluded
from supabase_jobs.sources.variables import Value

PACKAGED_DECLARATIONS = Path(__file__).with_name("declarations")


@dataclass(frozen=True)
class Expectations:
    """The rendered SQL sources (`texts`), and the folder of their declarations.

    `directory` holds access.toml, functions.toml, plans.toml and structure.json of other sources;
    it is None for the packaged sources. `variables` has the value of every variable, and false for
    each excluded source. `exposed_schemas` are the API's schemas according to
    config.toml. `allowed` are the intended bypasses and privileges, see `Settings`.
    `accepted_unchecked` maps areas and ids of cases that may stay unchecked to the reason.
    """

    variables: Mapping[str, Value]
    texts: tuple[str, ...]
    directory: Path | None = None
    exposed_schemas: tuple[str, ...] = ApiSettings.schemas
    allowed: Mapping[str, Mapping[str, AllowedEntry]] = field(default_factory=dict)
    accepted_unchecked: Mapping[str, str] = field(default_factory=dict)

    def declaration(self, name: str) -> Path:
        """The path of a declaration file (`access.toml`); the file may be missing."""
        return (self.directory or PACKAGED_DECLARATIONS) / name

    def all_exposed_schemas(self, rows: Iterable[Sequence[str]]) -> set[str]:
        """The schemas that the API exposes according to config.toml and to a database: the rows of
        `projects.exposed_schemas.EXPOSED_SCHEMAS`.
        """
        return {*self.exposed_schemas, *(schema for (schema,) in rows)}


def load_expectations(settings: Settings) -> Expectations:
    """The expectations of a project's sources.

    Raises ConfigError if a file of the project installs a source that it excludes.
    """
    excluded = sources(settings).excluded
    if excluded and settings.migrations is not None:
        check_excluded(sources(settings), load_migrations(settings.migrations))
    texts = tuple(migration.text for migration in rendered(settings))
    exposed = load_api_settings(settings.directory, project_ref(settings.db_url)).schemas
    return Expectations(
        variables={**variables(settings), **dict.fromkeys(excluded, False)},
        texts=texts,
        directory=settings.sql_dir,
        exposed_schemas=exposed,
        allowed=settings.allowed,
        accepted_unchecked=settings.accepted_unchecked,
    )


def validate_declaration(path: Path, toml: Mapping[str, Any], schema: str, deviates: str) -> None:
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
