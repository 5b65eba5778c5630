"""Attempts that leave what belongs to their caller, so that nobody needs them."""

from supabase_jobs.audit.callers import FORMER, INVITED
from supabase_jobs.audit.probes.attempt import (
    GROUP,
    OWN,
    Attempt,
)
from supabase_jobs.audit.repairs.owners import OWNERS_OF_FILES
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Tenant


class Boundaries:
    """The ids that belong to each tenant."""

    def __init__(self, world: World) -> None:
        self._ids = {tenant.name: _ids(tenant) for tenant in (world.a, world.b)}
        self._users = world.plan.usage.persons.users

    def crosses(self, attempt: Attempt) -> bool:
        """Whether an attempt leaves what belongs to its caller, so that nobody needs it.

        An update moves a row below a row of another tenant, or to another's user; a former member
        reaches a row of the group; a user who belongs to one row reaches those below another.
        """
        if attempt.caller.kind in (FORMER, INVITED) and attempt.whose != OWN:
            return True
        return self._gives_away(attempt) or _is_below_another(attempt)

    def names(self, attempt: Attempt) -> bool:
        """Whether a new row names a person or a row of another tenant."""
        own = "" if attempt.caller.tenant is None else attempt.caller.tenant.name
        others = [ids for name, ids in self._ids.items() if name != own]
        return any(value in ids for ids in others for value in attempt.written.values())

    def is_reference(self, attempt: Attempt) -> bool:
        """Whether the column of an attempt names a person or a parent."""
        relation, column = attempt.relation, attempt.column
        refers = any(column in key.columns for key in relation.foreign_keys)
        return refers or (relation.oid, column) in self._users

    def _gives_away(self, attempt: Attempt) -> bool:
        relation, column = attempt.relation, attempt.column
        if relation.is_storage and column in OWNERS_OF_FILES:  # which Storage sets itself
            return True
        if not self.is_reference(attempt):
            return False
        own = "" if attempt.caller.tenant is None else attempt.caller.tenant.name
        return any(attempt.value in ids for name, ids in self._ids.items() if name != own)


def _is_below_another(attempt: Attempt) -> bool:
    """Whether a user who belongs to a row of a table reaches another row of it, or one below."""
    user, relation, values = attempt.caller.user, attempt.relation, attempt.row.values
    if user is None or user.link is None or attempt.whose != GROUP:
        return False
    linked = user.link.relation
    own = user.rows.get(linked.oid)
    if own is None or linked is relation:
        return own is not None and own is not attempt.row
    for key in relation.foreign_keys:
        if key.target == linked.oid:
            pairs = zip(key.columns, key.target_columns, strict=True)
            return any(values.get(column) != own.values.get(at) for column, at in pairs)
    return False


def _ids(tenant: Tenant) -> frozenset[str]:
    """The ids of the users of a tenant, and the keys of its rows."""
    found = {user.id for user in tenant.users}
    for row in tenant.all_rows:
        found.update(value for name in row.key if (value := row.values[name]) is not None)
    return frozenset(found)
