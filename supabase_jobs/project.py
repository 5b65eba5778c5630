"""Which files a command works on: a folder of migrations, or the packaged sources rendered in memory."""

from supabase_jobs.render import render_sources, standard_migrations
from supabase_jobs.settings import Settings
from supabase_jobs.sqlfiles import Migration, load_migrations, load_sources
from supabase_jobs.variables import Value, resolve


def migrations(settings: Settings) -> list[Migration]:
    """`--migrations` if given, else supabase/migrations where it exists, else what the package ships."""
    if settings.migrations is not None:
        return load_migrations(settings.migrations)
    return rendered(settings)


def rendered(settings: Settings) -> list[Migration]:
    """The sources as migrations under their standard versions, whatever folder of migrations there is."""
    sources = load_sources(settings.sql_dir)
    return standard_migrations(sources, render_sources(sources, settings.variables))


def variables(settings: Settings) -> dict[str, Value]:
    """The values of the variables of the SQL sources in this project."""
    return resolve(load_sources(settings.sql_dir).variables, settings.variables)
