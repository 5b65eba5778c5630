"""Owners whom a generated row excludes from rows of their own, found by trying without it: the row
gets to name a colleague instead.
"""

from dataclasses import replace

from supabase_jobs.audit.policies import excluding
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.readable import Reads, queries
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.claims import claims_of
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Row, Tenant
from supabase_jobs.database.batch import run_groups
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation
from supabase_jobs.session.runner import Runner
from supabase_jobs.session.savepoint import keeping, undone

_ROLE = "authenticated"


def release(impersonation: Impersonation, world: World, deadline: Deadline) -> None:
    """Let the rows that exclude the owners of both tenants name a colleague of theirs."""
    plan = world.plan
    if _ROLE not in plan.catalog.roles:
        return
    for oid in sorted(excluding.tables(plan.catalog, plan.usage)):
        for tenant in (world.a, world.b):
            row = tenant.rows.get(oid)
            if row is None or not row.key:
                continue
            persons = user_columns(row.relation, plan.usage, plan.per_user)
            if [row.values[name] for name in persons] != [tenant.owner.id]:
                continue
            if _excludes(impersonation, world, tenant, row, deadline):
                _name_colleague(impersonation, tenant, row, persons[0])


def _excludes(
    impersonation: Impersonation, world: World, tenant: Tenant, row: Row, deadline: Deadline
) -> bool:
    """Whether the owner of a tenant reads more of the own rows without this one."""
    owner = tenant.owner
    caller = Caller(label=owner.label, role=_ROLE, claims=claims_of(tenant, owner), headers={})
    others = [one for one in owner.rows.values() if one is not row]
    tables = queries(world.plan.catalog, _ROLE, others)
    with_row, without = Reads(caller, tables), Reads(caller, tables)
    runner = Runner(impersonation, deadline)
    runner.run([with_row])
    connection = impersonation.connection
    with undone(connection):
        [deleted] = run_groups(connection, [[statements.delete(row).statement]])
        if deleted.error is not None:
            return False
        runner.run([without])
    return with_row.readable < without.readable


def _name_colleague(impersonation: Impersonation, tenant: Tenant, row: Row, person: str) -> None:
    """Let a row name the second user of its tenant."""
    colleague = tenant.users[1].id
    change = statements.update(row, {person: colleague})
    [result] = run_groups(impersonation.connection, [keeping(change.statement)])
    if result.error is None and result.answers[1].count:
        values_ = {**row.values, person: colleague}
        tenant.owner.rows[row.relation.oid] = replace(row, values=values_)
