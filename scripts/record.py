"""Record the objects that the packaged migrations create in an empty Supabase project as
structure.json.
"""

from collections.abc import Sequence
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
    """Apply the migrations to throwaway servers, and write the facts about the created objects."""
    with throwaway() as server, connect(server.url) as connection:
        recorded = record(connection)
        conditional = {
            name: added
            for name, variable in load_sources().variables.items()
            if not variable.default
            and (added := added_facts(connection, recorded, name, type(variable.default)(1)))
        }
    sources: dict[snapshot.Key, str] = {}
    for stem in load_sources().optional:
        with throwaway() as server, connect(server.url) as connection:
            without = record(connection, excluded=(stem,))
        check_unchanged(recorded, without.facts, f"excluding {stem}")
        sources |= dict.fromkeys(keys(recorded.facts) - keys(without.facts), stem)
    text = snapshot.dump(replace(recorded, conditional=conditional, sources=sources))
    snapshot.DEFAULT_FILE.write_text(text, encoding="utf-8")


def record(connection: Connection, excluded: tuple[str, ...] = ()) -> snapshot.Snapshot:
    """The objects that the migrations create without some sources. Applies them."""
    before = snapshot.objects(connection)
    settings = Settings(packaged_sql().parent, excluded_sources=excluded)
    apply_pending(connection, MigrationFiles(rendered(settings)))
    created = snapshot.objects(connection) - before
    connection.execute("set search_path = ''")
    return snapshot.record(connection, created)


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
    check_unchanged(recorded, facts, variable)
    if removed := keys(recorded.facts) - keys(facts):
        raise SystemExit(f"{variable} does more than add facts: {removed}")
    return tuple(fact for fact in facts if fact.key not in keys(recorded.facts))


def check_unchanged(recorded: snapshot.Snapshot, facts: Sequence[Fact], cause: str) -> None:
    """End the program if one of the facts has another value than the recorded one."""
    known = {fact.key: fact.value for fact in recorded.facts}
    if changed := [fact for fact in facts if known.get(fact.key, fact.value) != fact.value]:
        raise SystemExit(f"{cause} changes facts: {changed}")


def keys(facts: Sequence[Fact]) -> frozenset[snapshot.Key]:
    """The keys that identify the facts."""
    return frozenset(fact.key for fact in facts)


if __name__ == "__main__":
    main()
