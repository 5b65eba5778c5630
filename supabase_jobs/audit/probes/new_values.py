"""Values that attempts write: other ones for a column, those that make a row the caller's, and
those of a copy of a row.
"""

from collections.abc import Collection, Mapping
from functools import cached_property

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Column, Constraint, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.probes.attempt import Attempt
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Row, Tenant


class NewValues:
    """Chooses the values of updates and new rows, from the rows of both tenants."""

    def __init__(self, world: World) -> None:
        self._world, self._plan = world, world.plan

    def of(self, row: Row, column: Column, caller: Persona) -> list[str | None]:
        """Constants for a column that differ from its value: other tenants' ids, other roles,
        another text.
        """
        relation, current = row.relation, row.values.get(column.name)
        foreign = [k for k in relation.foreign_keys if column.name in k.columns]
        found: list[str | None] = []
        if foreign:
            found = [v for k in foreign for v in self._referenced(k, column.name, caller)]
        elif column.name in user_columns(relation, self._plan.usage, self._plan.per_user):
            users = [
                u.id
                for u in (caller.user, self._world.a.owner, self._world.b.owner)
                if u is not None
            ]
            found = [values.with_user(column, current, id_) for id_ in users]
        elif (relation.oid, column.name) in self._shared_columns:
            found = [self._shared_value(row, column, t) for t in (self._world.a, self._world.b)]
        else:
            limits = self._plan.limits.get(relation.oid, {}).get(column.name, Limits())
            literals = self._plan.usage.constants.literals.get((relation.oid, column.name), [])
            found = [*literals]
            if len(literals) < 2 or column.typtype == "e" or limits.allowed:
                generated = values.candidates(
                    column,
                    limits,
                    self._world.new_token,
                    77,
                    self._world.now,
                    self._plan.words,
                )
                found += generated[
                    : LIMITS.values
                    if column.typtype == "e" or limits.allowed or column.base == "bool"
                    else 1
                ]
        different = [
            v for v in dict.fromkeys(found) if v != current and not (v is None and column.not_null)
        ]
        return different[: LIMITS.values] or [current]

    @cached_property
    def _shared_columns(self) -> Collection[ColumnKey]:
        """The columns with a value that all rows of a tenant have."""
        usage = self._plan.usage
        return {*self._plan.tenant_values, *usage.claim_columns, *usage.header_columns}

    def _shared_value(self, row: Row, column: Column, tenant: Tenant) -> str | None:
        """The value of such a column: that of the tenant, or of its claim or header."""
        usage, key = self._plan.usage, (row.relation.oid, column.name)
        if key in self._plan.tenant_values:
            return tenant.shared_value(column)
        if (path := usage.claim_columns.get(key)) is not None:
            return tenant.claims.get(path)
        header = tenant.headers.get(usage.header_columns[key])
        return None if header is None else usage.of_header(key, header)

    def _referenced(self, key: Constraint, column: str, caller: Persona) -> list[str | None]:
        at = key.target_columns[key.columns.index(column)]
        if key.target_name == "auth.users":
            return [
                u.id
                for u in (caller.user, self._world.a.owner, self._world.b.owner)
                if u is not None
            ]
        own = caller.tenant.row(key.target, caller.user) if caller.tenant and caller.user else None
        rows = [own, *(t.rows.get(key.target or 0) for t in (self._world.a, self._world.b))]
        return [row.values.get(at) for row in rows if row is not None]

    def as_own(self, row: Row, caller: Persona, *, through_parents: bool) -> dict[str, str | None]:
        """The columns that make a row the caller's: its ids, and with `through_parents` its own
        parents and its tenant.
        """
        new: dict[str, str | None] = {}
        users = user_columns(row.relation, self._plan.usage, self._plan.per_user)
        owner = self._world.a.owner
        if caller.user is None or caller.tenant is None:
            return new
        for column in users:
            current = row.values.get(column)
            if owner.id in (current or "") or through_parents:
                new[column] = values.with_user(
                    row.relation.by_name[column], current, caller.user.id
                )
        for key in row.relation.foreign_keys:
            parent = caller.user.rows.get(key.target or 0)
            own_key = through_parents or (key.target in self._plan.per_user)
            if parent is not None and own_key and key.target_name != "auth.users":
                for column, at in zip(key.columns, key.target_columns, strict=True):
                    new[column] = parent.values.get(at)
        for own in row.relation.columns if through_parents else ():
            is_shared = (row.relation.oid, own.name) in self._shared_columns
            value = self._shared_value(row, own, caller.tenant) if is_shared else None
            if value is not None:
                new[own.name] = value
        return {name: value for name, value in new.items() if value != row.values.get(name)}

    def copy(self, row: Row) -> dict[str, str | None]:
        """The values of a row with other keys."""
        relation = row.relation
        keys = {name for key in relation.unique_keys for name in key} - {
            *user_columns(relation, self._plan.usage, self._plan.per_user),
            *(name for key in relation.foreign_keys for name in key.columns),
        }
        limits, now = self._plan.limits.get(relation.oid, {}), self._world.now
        copy = dict(row.values)
        for name in keys:
            token = self._world.new_token
            copy[name] = values.candidates(
                relation.by_name[name], limits.get(name, Limits()), token, 78, now, self._plan.words
            )[0]
        return copy

    def copy_of_new(self, attempt: Attempt) -> dict[str, str | None]:
        """The values of a row that was inserted, with other keys."""
        fresh, row = self.copy(attempt.row), attempt.row.values
        kept = {n: v for n, v in attempt.written.items() if fresh.get(n) == row.get(n)}
        return {**fresh, **kept}

    def condition_of_new(
        self, caller: Persona, relation: Relation, copy: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """The values that name the caller in a new row, or else the rows above it. A column that
        the caller may not assign names them only if a default or a trigger fills it.
        """
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        user = None if caller.user is None else caller.user.id
        filled = [
            name
            for name in copy
            if relation.may(caller.role, "INSERT", name)
            or relation.by_name[name].default
            or relation.triggers
        ]
        own = {name: user for name in persons if name in filled and copy[name] == user}
        above = [name for name in self._above(relation) if name in filled]
        return own or {name: copy[name] for name in above if copy[name]}

    def _above(self, relation: Relation) -> list[str]:
        """The columns that name the rows above a row, which belong to somebody."""
        catalog = self._plan.catalog
        keys = [key for key in relation.foreign_keys if key.target in catalog.by_oid]
        owned = [key for key in keys if self._plan.owned(catalog.by_oid[key.target or 0])]
        return list(dict.fromkeys(name for key in owned for name in key.columns))

    def unset_columns(self, relation: Relation) -> list[str]:
        """The columns that policies compare with null, but for those that say to whom a row
        belongs: the user that an INSERT must name, the tenant, and the row above it.
        """
        usage, oid = self._plan.usage, relation.oid
        above = {
            (oid, name)
            for key in relation.foreign_keys
            for name in key.columns
            if key.target_name != "auth.users"
        }
        belonging = {
            *usage.persons.checked,
            *self._plan.tenant_values,
            *usage.claim_columns,
            *above,
        }
        unset = usage.mentions.nulls - belonging
        return [c.name for c in relation.columns if (oid, c.name) in unset and not c.not_null]
