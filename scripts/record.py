"""Record what the packaged migrations make of an empty Supabase project, for `verify` to hold databases against."""

from supabase_jobs import migrate
from supabase_jobs.database import connect
from supabase_jobs.local.server import throwaway
from supabase_jobs.project import rendered
from supabase_jobs.settings import Settings
from supabase_jobs.sqlfiles import Files, packaged_sql
from supabase_jobs.verify import structure


def main() -> None:
    """Start a server, look, apply, look again, and write down what has been added."""
    with throwaway() as server, connect(server.url) as connection:
        before = structure.objects(connection)
        migrate.apply(connection, Files(rendered(Settings(packaged_sql().parent))))
        made = structure.objects(connection) - before
        connection.execute("set search_path = ''")
        text = structure.dump(structure.record(connection, made))
    structure.DEFAULT_FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
