"""Copies of a database, and what the databases of a server share."""

from pathlib import Path

from psycopg import sql

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_files

_QUERIES = sql_files(Path(__file__).with_suffix(""))


def copy(admin: Connection, name: str, template: str) -> None:
    """Copy a database, to which nobody may be connected, without its settings. Raises psycopg's
    errors.
    """
    admin.execute(
        sql.SQL("create database {} template {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
    )


def set_owner(admin: Connection, name: str, owner: str) -> None:
    """Make a role the owner of a database. Raises psycopg's errors."""
    admin.execute(
        sql.SQL("alter database {} owner to {}").format(sql.Identifier(name), sql.Identifier(owner))
    )


def settings_for(connection: Connection, name: str) -> list[str]:
    """The statements that give a copy the settings of the connection's database."""
    return [statement for (statement,) in _QUERIES["settings"].rows(connection, name)]


def shared_state(connection: Connection, database: str) -> str:
    """A digest of what migrations of a database can change for others: roles, and settings of other
    databases.
    """
    [(digest,)] = _QUERIES["shared_state"].rows(connection, database)
    return str(digest)
