"""The columns of a table that name persons, and the tables with a row for each user."""

from supabase_jobs.audit.catalog import Catalog, Column, Relation
from supabase_jobs.audit.policies.uses import Usage


def user_columns(relation: Relation, usage: Usage, per_user: frozenset[int]) -> list[str]:
    """The columns that identify a user, by an id or by the row of a table that has one row per
    user.
    """
    own = [c.name for c in relation.columns if (relation.oid, c.name) in usage.persons.users]
    through = [
        k.columns[0] for k in relation.foreign_keys if k.target in per_user and len(k.columns) == 1
    ]
    return list(dict.fromkeys([*own, *through]))


def accepts_rows(relation: Relation) -> bool:
    """Whether a privilege and a policy let signed-in users insert some rows."""
    policies = [p for p in relation.policies if p.permissive and p.governs("insert")]
    return relation.may("authenticated", "INSERT") and (
        not relation.rls or any(p.applies_to("authenticated") for p in policies)
    )


def _has_row_per_user(relation: Relation, usage: Usage, per_user: frozenset[int]) -> bool:
    users = user_columns(relation, usage, per_user)
    return any(len(key) == 1 and key[0] in users for key in relation.unique_keys)


def tables_per_user(catalog: Catalog, usage: Usage) -> frozenset[int]:
    """The tables with a row for each user."""
    found: set[int] = set()
    while True:
        known = frozenset(found)
        more = {
            r.oid
            for r in catalog.tables
            if r.oid not in known and _has_row_per_user(r, usage, known)
        }
        if not more:
            return frozenset(found)
        found |= more


def is_told_apart(
    usage: Usage, relation: Relation, column: Column, per_user: frozenset[int]
) -> bool:
    """Whether a policy or function mentions a column whose value does not name a person or row."""
    key = relation.oid, column.name
    if column.filled_by_server or column.name in user_columns(relation, usage, per_user):
        return False
    if any(column.name in other.columns for other in relation.foreign_keys):
        return False
    tested = (
        usage.mentions.nulls,
        usage.mentions.presences,
        usage.mentions.mentioned,
        usage.constants.literals,
    )
    return any(key in found for found in tested)
