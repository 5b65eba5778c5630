"""The tables, views and functions of a project, into which faults are planted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import ConfigError

_OBJECTS = Path(__file__).parent / "sql" / "objects.sql"


@dataclass(frozen=True)
class ProjectObject:
    """A table, view or function. `name` is that of the operators: qualified, with quotes where they
    are necessary, and with the types of arguments. `plain` is its own name without all of that.
    """

    name: str
    schema: str
    plain: str
    is_function: bool

    @property
    def qualified(self) -> str:
        """The schema and the plain name."""
        return f"{self.schema}.{self.plain}"

    @property
    def label(self) -> str:
        """The object as the audit names it."""
        return self.name if self.is_function else self.qualified


def project_objects(connection: Connection) -> list[ProjectObject]:
    """The tables, views and functions of the project."""
    return [ProjectObject(*row) for row in sql_file(_OBJECTS).rows(connection)]


def named(objects: Sequence[ProjectObject], tables: Sequence[str]) -> list[ProjectObject]:
    """The objects that `--table` names. Raises ConfigError for a name without an object."""
    wanted = {table if "." in table.partition("(")[0] else f"public.{table}" for table in tables}
    if unknown := wanted.difference(*map(_spellings, objects)):
        raise ConfigError(
            f"--table: no object {min(unknown)!r} in the database",
            hint="Write schema.name, or a function as the report does.",
        )
    return [one for one in objects if wanted & _spellings(one)]


def _spellings(one: ProjectObject) -> set[str]:
    """The name as reports print it, and without quotes and arguments."""
    return {one.name, one.qualified}
