"""Create the objects of a dump in a database of the embedded server, as its superuser.

Everything that could reach out of the copy is replaced: extensions that need a superuser, functions
in other languages, foreign servers.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import split
from supabase_jobs.local import stand_ins
from supabase_jobs.migrations.extensions import with_ranges
from supabase_jobs.projects.source import Parts, Source, StandIn, read_parts
from supabase_jobs.projects.statements import tables

# statements that are sent together: enough for one wait, few enough to show progress
_BATCH = 500
# pg_dump writes it above each object
_HEADER = re.compile(
    r"^-- Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>.*); Owner: .*$",
    re.MULTILINE,
)
# of psql; its key is random, so no text in the dump can repeat it
_RESTRICT = re.compile(r"^\\restrict (\S+)$", re.MULTILINE)
# statements are told by their first words: a comment above them holds names that others chose
_EXTENSION = "CREATE EXTENSION"
_REPLACED = (
    _EXTENSION,
    "CREATE FOREIGN DATA WRAPPER",
    "CREATE SERVER",
    "CREATE USER MAPPING",
    *("CREATE PROCEDURAL", "CREATE TRUSTED", "CREATE OR REPLACE PROCEDURAL"),
    "CREATE OR REPLACE TRUSTED",
)
# the settings of the dump have no type
_FIRST = ("", "SCHEMA")
_ROUTINES = ("CREATE FUNCTION", "CREATE PROCEDURE", "CREATE AGGREGATE")
_CATALOG_PRIVILEGES = tuple(
    f" ON {kind} pg_catalog." for kind in ("FUNCTION", "PROCEDURE", "TABLE")
)
# the server runs code of the project for these, so the owner of the database runs them
_RUN_CODE = ("CREATE AGGREGATE", "ALTER AGGREGATE")
_ATTACH = " ATTACH PARTITION "
# they would run for each statement after them
_EVENT_TRIGGERS = ("CREATE EVENT TRIGGER", "ALTER EVENT TRIGGER")
_RECORDS = """
create schema supabase_jobs_copy;
grant usage on schema supabase_jobs_copy to public;
alter default privileges in schema supabase_jobs_copy grant usage, select on sequences to public;
"""
# they run with the privileges of whoever runs a command: of the superuser too
_EVENT_FUNCTIONS = """
select
  pg_catalog.format('alter function %%s owner to %%I', p.oid::regprocedure, %s::text),
  pg_catalog.format('alter function %%s security definer', p.oid::regprocedure)
from pg_catalog.pg_proc as p
where p.prorettype = 'event_trigger'::regtype and p.pronamespace <> 'pg_catalog'::regnamespace
"""
_PLAIN_LANGUAGES = frozenset({"sql", "plpgsql"})


@dataclass(frozen=True)
class DumpedObject:
    """A statement of a dump, and the object that it is about."""

    statement: str
    type: str
    schema: str
    name: str

    @property
    def labels(self) -> list[str]:
        """The tables, views or functions whose access it decides, as reports name them."""
        found = tables(self.statement)
        if found or self.schema in ("", "-"):
            return found or [self.name]
        name = self.name.partition(" ")[2] if self.type == "ACL" else self.name
        return [f"{self.schema}.{name.replace(', ', ',')}"]


@dataclass(frozen=True)
class Failure:
    """A statement that failed, and why."""

    object: DumpedObject
    error: psycopg.Error

    @property
    def why(self) -> str:
        """The reason as the server gives it."""
        return sqlstate_and_message(self.error)

    def is_about(self, name: str) -> bool:
        """Whether it is the statement of an object; a dump names the arguments of functions."""
        return any(
            label == name or ("(" in name and label.startswith(f"{name.partition('(')[0]}("))
            for label in self.object.labels
        )


@dataclass
class Restored:
    """The statements that failed, the extensions that have a stand-in, and what the copy has of
    `Source.parts`.
    """

    failures: list[Failure] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
    parts: Parts = field(default_factory=dict)


def objects(dump: str) -> Iterator[DumpedObject]:
    """The statements of a dump in order."""
    kind, schema, name = "", "", ""
    if (restricted := _RESTRICT.search(dump)) is not None:
        dump = dump.replace(f"\\unrestrict {restricted[1]}\n", "\n")
        dump = dump.replace(f"\\restrict {restricted[1]}\n", "\n", 1)
    for statement in split(dump):
        # not in the code, where a literal could look like one
        for header in _HEADER.finditer(statement.text.removesuffix(statement.code)):
            kind, schema, name = header["type"], header["schema"], header["name"]
        if statement.code:
            yield DumpedObject(statement.code, kind, schema, name)


def restore(
    superuser: Connection,
    owner_url: str,
    source: Source,
    dump: str,
    advance: Callable[[int, int], None] = lambda _number, _total: None,
) -> Restored:
    """Create the roles, the objects and the stand-ins. `owner_url` connects as the owner of the
    database. Raises psycopg's errors if the connection is lost.
    """
    restored = Restored()
    _create_roles(superuser, source)
    # the stand-ins of functions record their calls there
    superuser.execute(_RECORDS)
    created = stand_ins.harmless(superuser)
    without_gist = "btree_gist" not in created
    # an extension may be in a schema that the dump creates after another extension
    pending = sorted(objects(dump), key=lambda item: item.type not in _FIRST)
    made = False
    batch: list[DumpedObject] = []
    of_owner: list[DumpedObject] = []
    event_triggers: list[DumpedObject] = []
    failed: list[Failure] = []
    for number, item in enumerate(pending, 1):
        text = item.statement
        if text.startswith(_REPLACED):
            if not made and text.startswith(_EXTENSION):
                failed += _run(superuser, batch)
                batch, made = [], True
                _create_extensions(superuser, source, created, restored)
            continue
        if item.type == "CONSTRAINT" and without_gist:
            item = replace(item, statement=with_ranges(item.statement))
        if text.startswith(_EVENT_TRIGGERS):
            event_triggers.append(item)
        elif text.startswith(_RUN_CODE) or (text.startswith("ALTER TABLE") and _ATTACH in text):
            of_owner.append(item)
        elif not _is_foreign(item):
            batch.append(item)
        if len(batch) == _BATCH:
            failed += _run(superuser, batch)
            batch = []
            advance(number, len(pending))
    failed += _run(superuser, batch)
    _create(superuser, [s for s in source.stand_ins if s.extension is None])
    _own(superuser, source)
    with connect(owner_url) as owner:
        left = _again(owner, _run(owner, of_owner))
    failed = [*_again(superuser, failed), *left]
    restored.failures = failed
    _create_event_triggers(superuser, source, event_triggers)
    restored.parts = read_parts(superuser)
    advance(len(pending), len(pending))
    return restored


def _create_event_triggers(
    superuser: Connection, source: Source, items: Sequence[DumpedObject]
) -> None:
    """Create event triggers whose functions run as the owner of the database, whoever runs a
    command.
    """
    rows = superuser.execute(_EVENT_FUNCTIONS, [source.owner]).fetchall()
    if not _send(superuser, [statement for row in rows for statement in row]):
        _run(superuser, items)


def _create_roles(superuser: Connection, source: Source) -> None:
    """Roles, memberships and settings; what cannot be made is a setting of a missing library."""
    existing = {name for (name,) in superuser.execute("select rolname::text from pg_roles")}
    own = superuser.info.user
    creating = [r.statement for r in source.roles if r.name not in existing]
    altering = [
        r.statement.replace("create role", "alter role", 1)
        for r in source.roles
        if r.name in existing and r.name != own
    ]
    settings = [setting.statement for setting in source.settings]
    _send(superuser, [*creating, *altering, *source.memberships, *settings])


def _own(superuser: Connection, source: Source) -> None:
    """Let the owner of the database act for everybody there, as the audit needs it.

    On a hosted project, an extension lets postgres change the platform's tables. A role that was a
    superuser keeps its reach inside of the database.
    """
    grant = sql.SQL("grant {} to {}")
    statements = [
        grant.format(sql.Identifier(role.name), sql.Identifier(member)).as_string(superuser)
        for member in source.acting
        for role in source.roles
        if role.name not in (member, superuser.info.user)
    ]
    owner = sql.Identifier(source.owner)
    alter = sql.SQL("alter database postgres owner to {}").format(owner).as_string(superuser)
    bypass = (
        sql.SQL("alter role {} login bypassrls createrole createdb")
        .format(owner)
        .as_string(superuser)
    )
    # as on a hosted project, whose postgres may switch triggers and foreign keys off
    may_set = sql.SQL("grant set on parameter session_replication_role to {}").format(owner)
    privileges = [*source.database_privileges, may_set.as_string(superuser)]
    _send(superuser, [alter, bypass, *privileges, *statements])


def _create_extensions(
    superuser: Connection, source: Source, harmless: frozenset[str], restored: Restored
) -> None:
    """Create the extensions that stay inside the database; stand-ins for the members of others."""
    create = sql.SQL("create extension {} with schema {} cascade")
    replaced = set()
    for extension in source.extensions:
        if extension.name in harmless:
            statement = create.format(
                sql.Identifier(extension.name), sql.Identifier(extension.schema)
            )
            if not _send(superuser, [statement.as_string(superuser)]):
                continue
        replaced.add(extension.name)
        restored.extensions.append(extension.name)
        if extension.name in stand_ins.names() - stand_ins.WITH_WORKERS:
            stand_ins.load(superuser, extension.name, extension.schema)
    _create(superuser, [s for s in source.stand_ins if s.extension in replaced])


def _create(superuser: Connection, statements: Sequence[StandIn]) -> None:
    """Create the stand-ins that are missing; an existing one does more."""
    _send(superuser, [stand_in.statement for stand_in in statements])


def _is_foreign(item: DumpedObject) -> bool:
    """Whether a statement could give the copy a way out: functions in other languages, and
    privileges on functions of the server.
    """
    if item.statement.startswith(("GRANT", "REVOKE")):
        return any(words in item.statement for words in _CATALOG_PRIVILEGES)
    if not item.statement.startswith(_ROUTINES):
        return False
    for node in syntax.parse(item.statement) or ():
        for option in node.get("CreateFunctionStmt", {}).get("options", ()):
            language = option["DefElem"]
            if language["defname"] == "language":
                return language["arg"]["String"]["sval"].lower() not in _PLAIN_LANGUAGES
    return False


def _run(superuser: Connection, batch: Sequence[DumpedObject]) -> list[Failure]:
    """Run statements, each in a transaction of its own; those that fail."""
    results = run_groups(superuser, [[Statement(item.statement)] for item in batch])
    return [
        Failure(item, result.error)
        for item, result in zip(batch, results, strict=True)
        if result.error is not None
    ]


def _send(superuser: Connection, statements: Sequence[str]) -> list[psycopg.Error]:
    results = run_groups(superuser, [[Statement(text)] for text in statements])
    return [result.error for result in results if result.error is not None]


def _again(superuser: Connection, failed: list[Failure]) -> list[Failure]:
    """Repeat what failed as long as something succeeds: it may have needed a later object."""
    while failed:
        left = _run(superuser, [failure.object for failure in failed])
        if len(left) == len(failed):
            return left
        failed = left
    return []
