"""Privileges that the project revokes and that a role still has.

PostgreSQL adds privileges up: what one grant gives, a REVOKE of another one does not take. New
functions may be executed by everybody, `PUBLIC`, and by default privileges of Supabase by each API
role, too; a privilege on a table is one on all of its columns.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Catalog, Function
from supabase_jobs.database.parser.privileges import FUNCTION, PUBLIC, Privilege
from supabase_jobs.sources.revocations import Revocation

# the roles of requests that no service sends
_USERS = ("anon", "authenticated")
_TRIGGERS = ("trigger", "event_trigger")


@dataclass(frozen=True)
class VoidRevoke:
    """The roles that still have what a statement revokes from them, or from everybody."""

    object: str
    privilege: Privilege
    roles: tuple[str, ...]

    @property
    def is_of_everybody(self) -> bool:
        """Whether the statement revokes it from PUBLIC, and the roles have it by other grants."""
        return self.privilege.role == PUBLIC


def find(catalog: Catalog, revocations: Iterable[Revocation]) -> Iterator[VoidRevoke]:
    """One for each statement and object that requests reach."""
    numbers = Counter((one.schema, one.name) for one in catalog.functions)
    functions = {
        (one.schema, one.name): one
        for one in catalog.functions
        # of several with a name, the statement may mean another one
        if numbers[one.schema, one.name] == 1 and one.result not in _TRIGGERS
    }
    for revocation in revocations:
        one = revocation.privilege
        if one.schema not in catalog.served:
            continue
        users = [role for role in _USERS if one.role in (role, PUBLIC)]
        asked = [role for role in users if role not in revocation.granted]
        if one.kind == FUNCTION:
            function = functions.get((one.schema, one.name))
            if function is not None:
                yield from _of_function(function, one, asked)
        elif one.columns:
            yield from _of_columns(catalog, one, asked)


def _of_function(
    function: Function, revoked: Privilege, asked: Iterable[str]
) -> Iterator[VoidRevoke]:
    roles = tuple(role for role in asked if role in function.callers)
    if roles:
        yield VoidRevoke(function.signature, revoked, roles)


def _of_columns(catalog: Catalog, revoked: Privilege, asked: Iterable[str]) -> Iterator[VoidRevoke]:
    """The revoke of columns of a table on which the role has the same privilege."""
    key = (revoked.schema, revoked.name)
    for relation in catalog.relations:
        if (relation.schema, relation.name) == key:
            roles = tuple(
                r for r in asked if f"{r} {revoked.privilege.upper()}" in relation.granted
            )
            if roles:
                yield VoidRevoke(relation.label, revoked, roles)
