"""CREATE EXTENSION on a local server, where some are missing and others need a superuser."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg import sql

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import FileStatement
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.local import stand_ins
from supabase_jobs.local.platform import load_queues_api
from supabase_jobs.sources.files import Migration, MigrationFiles

_AVAILABLE = """
select e.name, coalesce(bool_or(v.trusted), false), coalesce(bool_or(v.schema is null), true)
from pg_available_extensions as e
left join pg_available_extension_versions as v on e.name = v.name
group by e.name
"""
_INSTALLED = "select extname::text from pg_extension where extversion not like '%stand-in'"
# on a hosted project an extension lets postgres own what the superuser creates for it
_GIVE_TO_POSTGRES = """
update pg_extension
set extowner = to_regrole('postgres')
where extname = %s and to_regrole('postgres') is not null
"""
_ENABLED = sql_file(Path(__file__).with_name("event_triggers.sql"))
_HELPER = sql_file(Path(__file__).with_name("as_superuser.sql"))
# settings of roles that a hosted project lets postgres make
_EVENT_TRIGGER = re.compile(r"event\s+trigger", re.IGNORECASE)
_MAY_NEED = re.compile(r"event\s+trigger|alter\s+(role|extension)", re.IGNORECASE)
_SETTINGS = re.compile(
    r"(auto_explain|pg_net|pg_stat_statements|pgaudit|pgrst|plan_filter|safeupdate)\..*"
    r"|log_.*|session_replication_role|track_io_timing|wal_compression"
)
_QUEUES_API = re.compile(r'create\s+schema\s+(if\s+not\s+exists\s+)?"?pgmq_public', re.IGNORECASE)
# a call, or a class of operators
_CALLED = re.compile(r"\w+(?=\s*\()|\w+_ops\b")
_NAMED = re.compile(r'\bextension\s+(?:if\s+not\s+exists\s+)?"?([\w-]+)', re.IGNORECASE)
# an element of an exclusion constraint: `column with =`
_EQUAL = re.compile(r'("(?:[^"]|"")+"|\w+)(\s+with\s+)=(?=\s*[,)])', re.IGNORECASE)


@dataclass(frozen=True)
class UnknownExtension:
    """An extension without a stand-in that the server lacks, and the statement that needs it."""

    name: str
    migration: Migration
    statement: FileStatement


@dataclass(frozen=True)
class LocalFiles:
    """The files without the statements that a local server cannot run.

    `missing` are the extensions that it lacks, and `unknown` those of them without a stand-in.
    """

    files: MigrationFiles
    missing: tuple[str, ...]
    unknown: tuple[UnknownExtension, ...] = ()


@dataclass
class _Wanted:
    """The schemas of an extension in turn, and the statement that asks for it first."""

    schemas: list[str]
    migration: Migration
    statement: FileStatement


def prepare(superuser: Connection, files: MigrationFiles) -> LocalFiles:
    """Create the extensions that need a superuser and the stand-ins of missing ones; leave out the
    statements about them.

    On a hosted project, supautils creates them for postgres.
    """
    with _without_event_triggers(superuser):
        return _prepared(superuser, files)


def _prepared(superuser: Connection, files: MigrationFiles) -> LocalFiles:
    rows = superuser.execute(_AVAILABLE).fetchall()
    available = {str(name) for name, _, _ in rows} - stand_ins.WITH_WORKERS
    by_postgres = {str(name) for name, trusted, _ in rows if trusted} & available
    relocatable = {str(name) for name, _, relocatable in rows if relocatable}
    installed = {str(name) for (name,) in superuser.execute(_INSTALLED).fetchall()}
    found: dict[str, _Wanted] = {}
    # the server runs the script of a trusted extension as the superuser, and event triggers in it
    has_events = any(_EVENT_TRIGGER.search(migration.text) for migration in files.migrations)
    kept = set() if has_events else by_postgres - installed
    movable = available & relocatable
    migrations = [_without(migration, kept, movable, found) for migration in files.migrations]
    migrations = [_as_superuser(migration) for migration in migrations]
    if "btree_gist" not in available:
        migrations = [_with_ranges(migration) for migration in migrations]
    missing, unknown = [], []
    for name, wanted in found.items():
        if name in installed:
            continue
        schemas = wanted.schemas or ["public"]
        if name in available:
            _create(superuser, name, schemas[0] if name in relocatable else None)
            continue
        missing.append(name)
        if name in stand_ins.names():
            for schema in schemas:
                _create_schema(superuser, schema)
                stand_ins.load(superuser, name, schema)
        else:
            unknown.append(UnknownExtension(name, wanted.migration, wanted.statement))
    for name in sorted((_expected(files) & available) - installed):
        _create(superuser, name, "extensions" if name in relocatable else None)
    if "pgmq" not in available and _expects_queues_api(files):
        load_queues_api(superuser)
    return LocalFiles(replace(files, migrations=migrations), tuple(missing), tuple(unknown))


def _expected(files: MigrationFiles) -> set[str]:
    """The extensions that the files use by name or an object, such as `moddatetime()`, and do not
    create: the dashboard has done so. Where the server lacks one, its stand-in is there.
    """
    code = "\n".join(migration.text for migration in files.migrations).lower()
    words, called = set(re.findall(r"\w+", code)), set(_CALLED.findall(code))
    used = {n for n in stand_ins.names() if n in words or stand_ins.objects(n) & called}
    if any(_excludes_equal(syntax.parse(text)) for text in _with_exclusions(files)):
        used.add("btree_gist")
    return used - set(_NAMED.findall(code))


def _with_exclusions(files: MigrationFiles) -> Iterator[str]:
    statements = (s for m in files.migrations if "exclude" in m.text.lower() for s in m.statements)
    return (s.text for s in statements if "exclude" in s.text.lower())


def _expects_queues_api(files: MigrationFiles) -> bool:
    """Whether the files use the schema of the queues' API, which the dashboard creates, and do not
    create it.
    """
    texts = [migration.text for migration in files.migrations]
    is_used = any("pgmq_public" in text for text in texts)
    return is_used and not any(_QUEUES_API.search(text) for text in texts)


def _create(superuser: Connection, name: str, schema: str | None) -> None:
    create = sql.SQL("create extension if not exists {} cascade").format(sql.Identifier(name))
    if schema is not None:
        _create_schema(superuser, schema)
        create = sql.SQL("create extension if not exists {} with schema {} cascade").format(
            sql.Identifier(name), sql.Identifier(schema)
        )
    superuser.execute(create)
    superuser.execute(_GIVE_TO_POSTGRES, [name])


def _create_schema(superuser: Connection, schema: str) -> None:
    exists = superuser.execute("select to_regnamespace(quote_ident(%s))", [schema]).fetchone()
    if exists == (None,):
        create = sql.SQL("create schema {} authorization postgres")
        superuser.execute(create.format(sql.Identifier(schema)))


def _without(
    migration: Migration,
    kept: Collection[str],
    movable: Collection[str],
    found: dict[str, _Wanted],
) -> Migration:
    text = migration.text
    if "extension" not in text.lower():
        return migration
    for statement in migration.statements:
        for found_extension in _extensions(statement.text):
            name, schema = found_extension.name, found_extension.schema
            if name in kept or (found_extension.is_moved and name in movable):
                continue
            if found_extension.exists:
                wanted = found.setdefault(name, _Wanted([], migration, statement))
                if schema is None and not wanted.schemas:
                    wanted.schemas.append("public")
                elif schema is not None and schema not in wanted.schemas:
                    wanted.schemas.append(schema)
            text = text.replace(statement.text, "\n" * statement.text.count("\n") + "select 1", 1)
    return replace(migration, text=text)


@contextmanager
def superuser_statements(superuser: Connection) -> Iterator[None]:
    """The function that prepared files call exists inside the block."""
    with _without_event_triggers(superuser):
        superuser.execute("create schema if not exists supabase_jobs_load")
        superuser.execute("grant usage on schema supabase_jobs_load to public")
        _HELPER.execute(superuser)
    try:
        yield
    finally:
        with _without_event_triggers(superuser):
            superuser.execute("drop schema if exists supabase_jobs_load cascade")


@contextmanager
def _without_event_triggers(superuser: Connection) -> Iterator[None]:
    """Disable those of the project inside the block: none of them runs as the superuser."""
    triggers = _ENABLED.rows(superuser)
    for disable, _ in triggers:
        superuser.execute(disable)
    try:
        yield
    finally:
        for _, enable in triggers:
            superuser.execute(enable)


def _as_superuser(migration: Migration) -> Migration:
    """Let the superuser run the statements for which a hosted project has an exception."""
    text = migration.text
    for statement in migration.statements if _MAY_NEED.search(text) else ():
        code = statement.code
        if _needs_superuser(code):
            call = f"select supabase_jobs_load.as_superuser({sql.Literal(code).as_string(None)})"
            text = text.replace(code, call, 1)
    return replace(migration, text=text)


def _needs_superuser(text: str) -> bool:
    for node in syntax.parse(text) or ():
        kind, fields = next(iter(node.items()))
        if kind in ("CreateEventTrigStmt", "AlterEventTrigStmt"):
            return True
        if kind == "DropStmt" and fields["removeType"] == "OBJECT_EVENT_TRIGGER":
            return True
        if kind == "AlterObjectSchemaStmt" and fields["objectType"] == "OBJECT_EXTENSION":
            return True
        if kind == "AlterRoleSetStmt":
            return _SETTINGS.fullmatch(str(fields["setstmt"].get("name"))) is not None
    return False


def _with_ranges(migration: Migration) -> Migration:
    text = migration.text
    for statement in migration.statements if "exclude" in text.lower() else ():
        text = text.replace(statement.text, with_ranges(statement.text), 1)
    return replace(migration, text=text)


def with_ranges(statement: str) -> str:
    """The statement with `column with =` in GiST exclusion constraints, which needs btree_gist, as
    an overlap of ranges, which the stand-in has.
    """
    if "exclude" not in statement.lower() or not _excludes_equal(syntax.parse(statement)):
        return statement
    return _EQUAL.sub(r"extensions.equality_range(\1)\2&&", statement)


def _excludes_equal(tree: Any) -> bool:
    """Whether a tree has a GiST exclusion constraint with the operator `=`."""
    if isinstance(tree, list):
        return any(map(_excludes_equal, tree))
    if not isinstance(tree, dict):
        return False
    if tree.get("contype") == "CONSTR_EXCLUSION" and tree.get("access_method") == "gist":
        return any("'='" in str(element) for element in tree["exclusions"])
    return any(map(_excludes_equal, tree.values()))


@dataclass(frozen=True)
class _Mentioned:
    """An extension in a statement, its schema if named, and whether it exists afterwards."""

    name: str
    schema: str | None = None
    exists: bool = True
    is_moved: bool = False


def _extensions(text: str) -> list[_Mentioned]:
    """The extensions that a statement creates, changes or drops."""
    if "extension" not in text.lower():
        return []
    found: list[_Mentioned] = []
    for node in syntax.parse(text) or []:
        kind, fields = next(iter(node.items()))
        if kind == "CreateExtensionStmt":
            found.append(_Mentioned(str(fields["extname"]), _schema_option(fields)))
        elif kind == "AlterExtensionStmt":
            found.append(_Mentioned(str(fields["extname"])))
        elif kind == "AlterObjectSchemaStmt" and fields["objectType"] == "OBJECT_EXTENSION":
            name = str(fields["object"]["String"]["sval"])
            found.append(_Mentioned(name, str(fields["newschema"]), is_moved=True))
        elif kind == "CommentStmt" and fields["objtype"] == "OBJECT_EXTENSION":
            found.append(_Mentioned(str(fields["object"]["String"]["sval"])))
        elif kind == "DropStmt" and fields["removeType"] == "OBJECT_EXTENSION":
            names = [item["String"]["sval"] for item in fields["objects"]]
            found += [_Mentioned(str(name), exists=False) for name in names]
    return found


def _schema_option(fields: dict[str, Any]) -> str | None:
    for option in fields.get("options", ()):
        element = option["DefElem"]
        if element["defname"] == "schema":
            return str(element["arg"]["String"]["sval"])
    return None
