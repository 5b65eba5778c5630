"""The optional limits of owners: SQL that switches them on in an applied database."""

from supabase_jobs.database.connection import Connection
from supabase_jobs.sources.files import load_sources
from supabase_jobs.sources.render import render_sources

SOURCE = "006_limit_job_owners"
OFF = {
    "max_active_jobs_per_guest": 0,
    "max_active_jobs_per_user": 0,
    "max_new_jobs_per_guest_per_hour": 0,
    "owners_may_only_cancel": False,
}
STRICTEST = {
    "max_active_jobs_per_guest": 1,
    "max_active_jobs_per_user": 1,
    "max_new_jobs_per_guest_per_hour": 1,
    "owners_may_only_cancel": True,
}


def set_limits(connection: Connection, **variables: int | bool) -> None:
    """Run the version that `render` writes for these variables; all other limits are off."""
    rendered = render_sources(load_sources(), {**OFF, **variables})
    [update] = [r.update for r in rendered if r.source.stem == SOURCE]
    assert update is not None
    connection.execute(update.encode())
