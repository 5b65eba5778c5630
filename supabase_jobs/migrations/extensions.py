"""CREATE EXTENSION on a local server, where some are missing and others need a superuser."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.parser import syntax
from supabase_jobs.local.stand_ins import WITH_WORKERS
from supabase_jobs.sources.files import Migration, MigrationFiles

_AVAILABLE = """
select e.name, coalesce(bool_or(v.trusted), false)
from pg_available_extensions as e
left join pg_available_extension_versions as v on e.name = v.name
group by e.name
"""
# an element of an exclusion constraint: `column with =`
_EQUAL = re.compile(r'("(?:[^"]|"")+"|\w+)(\s+with\s+)=(?=\s*[,)])', re.IGNORECASE)


@dataclass(frozen=True)
class LocalFiles:
    """The files without the statements that a local server cannot run; the extensions that it
    lacks.
    """

    files: MigrationFiles
    missing: tuple[str, ...]


def prepare(superuser: Connection, files: MigrationFiles) -> LocalFiles:
    """Create the extensions that need a superuser; leave out the statements about those and about
    missing ones.

    On a hosted project, supautils creates them for postgres.
    """
    trusted: Mapping[str, bool] = dict(superuser.execute(_AVAILABLE).fetchall())
    available = trusted.keys() - WITH_WORKERS
    by_postgres = {name for name in available if trusted[name]}
    found: dict[str, None] = {}
    migrations = [_without(migration, by_postgres, found) for migration in files.migrations]
    if "btree_gist" not in available:
        migrations = [_with_ranges(migration) for migration in migrations]
    for name in found:
        if name in available:
            create = sql.SQL("create extension if not exists {} with schema extensions cascade")
            superuser.execute(create.format(sql.Identifier(name)))
    return LocalFiles(
        replace(files, migrations=migrations),
        tuple(name for name in found if name not in available),
    )


def _without(migration: Migration, kept: Collection[str], found: dict[str, None]) -> Migration:
    text = migration.text
    if "extension" not in text.lower():
        return migration
    for statement in migration.statements:
        name = _extension(statement.text)
        if name is not None and name not in kept:
            found[name] = None
            text = text.replace(statement.text, "\n" * statement.text.count("\n") + "select 1", 1)
    return replace(migration, text=text)


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


def _extension(text: str) -> str | None:
    """The extension that a statement creates or comments on."""
    if "extension" not in text.lower():
        return None
    for node in syntax.parse(text) or []:
        if "CreateExtensionStmt" in node:
            return str(node["CreateExtensionStmt"]["extname"])
        comment = node.get("CommentStmt", {})
        if comment.get("objtype") == "OBJECT_EXTENSION":
            return str(comment["object"]["String"]["sval"])
    return None
