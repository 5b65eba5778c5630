"""What `verify` expects of a database: the SQL sources as they render here, and the declarations beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.settings import Settings
from supabase_jobs.sources.config_toml import ApiSettings, load_api_settings
from supabase_jobs.sources.project import rendered, variables
from supabase_jobs.sources.variables import Value

# the declarations of the packaged sources, in one folder, as other sources have theirs
PACKAGED_DECLARATIONS = Path(__file__).with_name("declarations")


@dataclass(frozen=True)
class Expectations:
    """What `verify` holds a database against: the sources as they render here, and where their declarations are.

    `directory` holds access.toml, functions.toml and structure.json of other sources than the packaged ones, for which
    it is None.
    `exposed_schemas` are the schemas that the API serves, `allowed_bypasses` the user views and functions that bypass
    row level security on purpose.
    """

    variables: Mapping[str, Value]
    texts: tuple[str, ...]
    directory: Path | None = None
    exposed_schemas: tuple[str, ...] = ApiSettings.schemas
    allowed_bypasses: frozenset[str] = frozenset()

    def declaration(self, name: str) -> Path:
        """The file that declares an area (`access.toml`), whether it exists or not."""
        return (self.directory or PACKAGED_DECLARATIONS) / name


def load_expectations(settings: Settings) -> Expectations:
    """The expectations of the sources of this project."""
    texts = tuple(m.text for m in rendered(settings))
    exposed = load_api_settings(settings.directory).schemas
    return Expectations(variables(settings), texts, settings.sql_dir, exposed, frozenset(settings.allowed_bypasses))
