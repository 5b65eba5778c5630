"""Secrets of Vault for functions and views that read them: their values are tokens."""

import re
from collections.abc import Iterator

import psycopg

from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.policies import parse_trees
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.database.connection import Connection

_READS = re.compile(r"\bvault\W+(decrypted_)?secrets\b", re.IGNORECASE)


def insert(connection: Connection, plan: Plan, token: str) -> tuple[str, ...]:
    """Create a secret for each name that a function may look up, in the open transaction; the
    values. None if nothing reads Vault, or the database has none.
    """
    names = list(dict.fromkeys(_names(plan)))
    if not names:
        return ()
    values = []
    for number, name in enumerate(names):
        value = f"{token}secret{number:03d}"
        try:
            with connection.transaction():
                connection.execute("delete from vault.secrets where name = %s", (name,))
                connection.execute("select vault.create_secret(%s, %s)", (value, name))
        except psycopg.OperationalError:
            raise
        except psycopg.Error:  # there is no Vault, or the role may not write to it
            return ()
        values.append(value)
    return tuple(values)


def _names(plan: Plan) -> Iterator[str]:
    """A name of our own for views, and the constants of the functions that read Vault."""
    platform = {plan.catalog.users}
    for relation in plan.catalog.relations:
        unknown = set(relation.reads) - plan.catalog.by_oid.keys() - platform
        if not relation.is_table and unknown:
            yield "audit"
    for function in plan.catalog.functions:
        if _READS.search(function.body):
            yield "audit"
            yield from _constants(function)


def _constants(function: Function) -> Iterator[str]:
    trees = parse_trees.body_trees(function.language, function.body)
    for tree in trees:
        yield from sorted(parse_trees.literals(tree))
