"""Record the objects that the packaged migrations create in an empty Supabase project as structure.json."""

from supabase_jobs.database.connection import connect
from supabase_jobs.local.server import throwaway
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.settings import Settings
from supabase_jobs.sources.files import MigrationFiles, packaged_sql
from supabase_jobs.sources.project import rendered
from supabase_jobs.verify.structure import snapshot


def main() -> None:
    """Apply the migrations to a throwaway server, and write the facts about the created objects."""
    with throwaway() as server, connect(server.url) as connection:
        before = snapshot.objects(connection)
        apply_pending(connection, MigrationFiles(rendered(Settings(packaged_sql().parent))))
        created = snapshot.objects(connection) - before
        connection.execute("set search_path = ''")
        text = snapshot.dump(snapshot.record(connection, created))
    snapshot.DEFAULT_FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
