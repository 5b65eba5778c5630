"""The privileges that the migrations of a project revoke and do not grant again."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.privileges import PUBLIC, Privilege, granted, revoked
from supabase_jobs.sources.files import Migration


@dataclass(frozen=True)
class Revocation:
    """A privilege that nobody of its role is to have. `granted` are the roles to which a later
    statement grants what was revoked from everybody.
    """

    privilege: Privilege
    granted: frozenset[str] = frozenset()


def revocations(migrations: Iterable[Migration]) -> list[Revocation]:
    """The last word of the statements about each privilege, in order."""
    every = list(migrations)
    found: dict[Privilege, Revocation] = {}
    if not any("revoke" in migration.text.lower() for migration in every):
        return []
    for migration in every:
        for statement in migration.statements:
            for node in syntax.parse(statement.text) or []:
                for given in granted(node):
                    found = _after(found, given)
                for taken in revoked(node):
                    found[taken] = Revocation(taken)
    return list(found.values())


def _after(found: dict[Privilege, Revocation], given: Privilege) -> dict[Privilege, Revocation]:
    """The revocations that a grant leaves."""
    kept = {}
    for taken, revocation in found.items():
        if not given.covers(taken):
            kept[taken] = revocation
        elif taken.role == PUBLIC and given.role != PUBLIC:
            kept[taken] = replace(revocation, granted=revocation.granted | {given.role})
        elif given.role not in (taken.role, PUBLIC):
            kept[taken] = revocation
    return kept
