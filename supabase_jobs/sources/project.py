"""Which files a command works on: a folder of migrations, or the packaged sources rendered in memory."""

from pathlib import Path, PurePosixPath

from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Location
from supabase_jobs.parser import statements, syntax
from supabase_jobs.settings import Settings, read_toml
from supabase_jobs.sources.files import Files, Migration, load_migrations, load_sources, strays
from supabase_jobs.sources.variables import Value, resolve

# what the Supabase CLI serves where its config says nothing
DEFAULT_EXPOSED = ("public", "graphql_public")


def files(settings: Settings) -> Files:
    """`--migrations` if given, else supabase/migrations where it exists, else what the package ships."""
    if settings.migrations is not None:
        return Files(load_migrations(settings.migrations), strays(settings.migrations))
    return Files(rendered(settings))


def rendered(settings: Settings) -> list[Migration]:
    """The sources as migrations under their standard versions, whatever folder of migrations there is."""
    from supabase_jobs.sources.render import render_sources, standard_migrations

    sources = load_sources(settings.sql_dir)
    return standard_migrations(sources, render_sources(sources, settings.variables))


def variables(settings: Settings) -> dict[str, Value]:
    """The value of every variable of the sources in this project."""
    return resolve(load_sources(settings.sql_dir).variables, settings.variables)


def holds_sources(settings: Settings, files: Files) -> bool:
    """Whether what the sources make is there once the migrations are applied; else there is nothing to verify.

    That is not so where the migrations hold none of the sources, nor after the one that uninstalls them.
    """
    sources = load_sources(settings.sql_dir)
    stems = {source.stem for source in sources.sources}
    last = max((m.version for m in files.migrations if m.origin and m.origin[0] in stems), default="")
    removed = "" if sources.uninstall is None else sources.uninstall.stem
    return bool(last) and not any(m.version > last for m in files.migrations if m.origin and m.origin[0] == removed)


def exposed_schemas(directory: Path) -> tuple[str, ...]:
    """The schemas that the API of the project in a folder serves, by its supabase/config.toml.

    ConfigError where that file is not TOML, or its [api] schemas are no list of names.
    """
    file = directory / "supabase" / "config.toml"
    if not file.is_file():
        return DEFAULT_EXPOSED
    api = read_toml(file).get("api", {})
    schemas = api.get("schemas", DEFAULT_EXPOSED) if isinstance(api, dict) else None
    if not isinstance(schemas, list | tuple) or not all(isinstance(schema, str) for schema in schemas):
        raise ConfigError(f"{file}: [api] schemas is no list of names", file=str(file))
    return tuple(schemas)


def origins(settings: Settings) -> dict[str, Location]:
    """Where the SQL creates what: names as of `syntax.creates` → file and line; the last file counts.

    Files are named from the top of the repository, as the consumers of reports want it. Packaged sources, of which a
    project has no file, are named as they lie in this program's own repository.
    """
    found = {}
    for file, text in _texts(settings):
        for statement in statements.split(text):
            for node in syntax.parse(statement.text) or []:
                for name, byte in syntax.creates(node):
                    at = len(statement.text.encode()[:byte].decode())
                    found[name] = Location(file, statement.line_at(at + 1) if byte else statement.line)
    return found


def _texts(settings: Settings) -> list[tuple[str, str]]:
    """(name from the top of the repository, text) of every file whose SQL counts."""
    if settings.migrations is not None:
        return [(_from_top(Path(m.label)), m.text) for m in load_migrations(settings.migrations)]
    folder = "sql" if settings.sql_dir is None else _from_top(settings.sql_dir)
    # a rendering has the lines of its template, below the one that names it
    made = [(m.origin, m.body) for m in rendered(settings)]
    return [(str(PurePosixPath(folder) / f"{origin[0]}.sql"), body) for origin, body in made if origin]


def _from_top(path: Path) -> str:
    path = path.absolute()
    top = next((folder for folder in path.parents if (folder / ".git").exists()), Path.cwd())
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else path.as_posix()
