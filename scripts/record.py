"""Record the objects that the packaged migrations create in an empty Supabase project as
structure.json.
"""

from dataclasses import replace

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.local.server import throwaway
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.settings import Settings
from supabase_jobs.sources.files import MigrationFiles, load_sources, packaged_sql
from supabase_jobs.sources.project import rendered
from supabase_jobs.sources.render import render_sources
from supabase_jobs.verify.structure import snapshot
from supabase_jobs.verify.structure.catalog import Fact


def main() -> None:
    """Apply the migrations to a throwaway server, and write the facts about the created objects."""
    with throwaway() as server, connect(server.url) as connection:
        before = snapshot.objects(connection)
        apply_pending(connection, MigrationFiles(rendered(Settings(packaged_sql().parent))))
        created = snapshot.objects(connection) - before
        connection.execute("set search_path = ''")
        recorded = snapshot.record(connection, created)
        conditional = {
            name: added
            for name, variable in load_sources().variables.items()
            if not variable.default
            and (added := added_facts(connection, recorded, name, type(variable.default)(1)))
        }
        text = snapshot.dump(replace(recorded, conditional=conditional))
    snapshot.DEFAULT_FILE.write_text(text, encoding="utf-8")


def added_facts(
    connection: Connection, recorded: snapshot.Snapshot, variable: str, value: object
) -> tuple[Fact, ...]:
    """The facts that a value of a variable adds, by the new versions of its sources."""
    sources = load_sources()
    scope = {(part, name) for part, names in recorded.scope.items() for name in names}
    with connection.transaction(force_rollback=True):
        for old, new in zip(
            render_sources(sources, {}), render_sources(sources, {variable: value}), strict=True
        ):
            if old.update != new.update and new.update is not None:
                connection.execute(new.update.encode())
        facts = snapshot.record(connection, scope).facts
    known = {fact.key: fact for fact in recorded.facts}
    changed = [fact for fact in facts if fact.key in known and fact.value != known[fact.key].value]
    removed = known.keys() - {fact.key for fact in facts}
    if changed or removed:
        raise SystemExit(f"{variable} does more than add facts: {changed}, {removed}")
    return tuple(fact for fact in facts if fact.key not in known)


if __name__ == "__main__":
    main()
