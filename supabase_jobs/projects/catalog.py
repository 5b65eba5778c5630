"""The catalogs' facts about a project's objects, by which two databases can be compared.

Every file in `catalog/` selects the columns of `Fact`, in its order. Objects of the platform and of
extensions are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.database.batch import Statement, read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_files

_QUERIES = sql_files(Path(__file__).with_suffix(""))
# tables of the platform whose rows define a project, and the query that reads them
_ROWS = {"cron.job": "cron_jobs", "storage.buckets": "buckets"}

PLATFORM_SCHEMAS = (
    *("information_schema", "auth", "storage", "realtime", "vault", "extensions", "graphql"),
    *("graphql_public", "cron", "net", "supabase_functions", "supabase_migrations", "pgsodium"),
    *("pgsodium_masks", "pgbouncer", "pgmq", "pgtle", "tiger", "tiger_data", "topology", "dbdev"),
    *("_realtime", "_analytics", "_supavisor"),
)

_BEGIN = "begin isolation level repeatable read read only"
# names are printed with their schemas
_SEARCH_PATH = "set local search_path = ''"
_READABLE = """
select t.name
from pg_catalog.unnest(%s::pg_catalog.text[]) as t (name)
where pg_catalog.to_regclass(t.name) is not null
  and pg_catalog.has_schema_privilege(pg_catalog.split_part(t.name, '.', 1), 'USAGE')
  and pg_catalog.has_table_privilege(t.name, 'SELECT')
"""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Fact:
    """The `value` of one property (`kind`, `name`) of an object.

    `parents` are the keys of facts without which this one cannot exist, besides the object itself.
    `create_sql` makes it so, `drop_sql` removes it, and `replace_sql` makes it so where another
    value is; None: drop and create. Each is '' if no SQL of its own does.
    """

    object: str
    kind: str
    name: str
    parents: tuple[Key, ...]
    value: str
    create_sql: str
    drop_sql: str
    replace_sql: str | None

    @property
    def key(self) -> Key:
        """The identity of the fact: object, kind and name."""
        return self.object, self.kind, self.name


Facts = Mapping[Key, Fact]


def value_of(facts: Facts, key: Key) -> str | None:
    """The value of a fact; None if there is none."""
    fact = facts.get(key)
    return None if fact is None else fact.value


# the default privileges that a new project has, unless its switch "expose new tables" is off
EXPOSED_BY_DEFAULT: tuple[Key, ...] = tuple(
    ("public", "default privileges", f"functions of postgres to {role}")
    for role in ("anon", "authenticated", "service_role")
)


def read_facts(connection: Connection) -> dict[Key, Fact]:
    """All facts about the objects of a project, in three round trips and a read-only transaction.

    Raises psycopg's errors.
    """
    try:
        *_, readable = read(
            connection,
            [Statement(_BEGIN), Statement(_SEARCH_PATH), Statement(_READABLE, [list(_ROWS)])],
        )
        return read_facts_here(connection, [name for (name,) in readable])
    finally:
        connection.rollback()


def read_facts_here(
    connection: Connection, readable: Sequence[str] = tuple(_ROWS)
) -> dict[Key, Fact]:
    """All facts, in the open transaction, which needs an empty search_path, in one round trip."""
    queries = [query for name, query in _QUERIES.items() if name not in _ROWS.values()]
    schemas = list(PLATFORM_SCHEMAS)
    statements = [q.statement(schemas) if "$1" in q.text else q.statement() for q in queries]
    statements += [_QUERIES[_ROWS[table]].statement() for table in readable]
    facts = {}
    for rows in read(connection, statements):
        for object_, kind, name, parents, value, create_sql, drop_sql, replace_sql in rows:
            fact = Fact(
                object=object_,
                kind=kind,
                name=name,
                parents=tuple((str(o), str(k), str(n)) for o, k, n in parents),
                value=value,
                create_sql=create_sql,
                drop_sql=drop_sql,
                replace_sql=replace_sql,
            )
            facts[fact.key] = fact
    return facts
