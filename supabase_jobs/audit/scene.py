"""The scene of an audit: the generated rows, and who acts on them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from supabase_jobs.audit import callers, catalog, token_hook
from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.common import Common
from supabase_jobs.audit.copied_texts import Printable
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.policies.usage.added import add_states
from supabase_jobs.audit.probes import local_roles, own_exclusions, standings
from supabase_jobs.audit.rows import materialized
from supabase_jobs.audit.rows.build import World, build
from supabase_jobs.audit.rows.plan import Plan, make_plan
from supabase_jobs.audit.selection import Selection, check
from supabase_jobs.audit.selection import find as select
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import PrivilegeError
from supabase_jobs.findings import NotTested
from supabase_jobs.session import impersonation
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation

# the search_path as PostgREST sets it for a request; Storage refuses DELETE outside of its API
# without the other one
REQUEST_SETTINGS = (
    Statement("set local search_path = public, extensions"),
    Statement("select set_config('storage.allow_delete_query', 'true', true)"),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """The world, its callers and what they try. `not_tested` is what has no rows or no token."""

    impersonation: Impersonation
    world: World
    callers: Sequence[Persona]
    selection: Selection
    not_tested: Sequence[NotTested]

    @property
    def plan(self) -> Plan:
        """The plan of the rows, which has the catalogs."""
        return self.world.plan


def prepare(connection: Connection, options: Options) -> Scene:
    """Insert the rows in the open transaction, and find who acts on them. Raises what `audit`
    raises.
    """
    world = insert_world(connection, options, options.comparison.common or Common())
    if options.copied is not None:
        options.hide(Printable(options.copied, world).mark())
    selection = select(world.plan.catalog, options)
    stored = [view for view in selection.views if view.kind == "m"]
    not_refreshed = materialized.refresh(connection, stored)
    acting = impersonation.begin(connection, "audit", (), (), {})
    everyone = callers.find(world, options.files.configuration.callers)
    without_token: list[NotTested] = []
    if options.files.token_hook is not None:
        hook = options.files.token_hook
        everyone, without_token = token_hook.issue(connection, hook, world, everyone)
    return Scene(
        impersonation=acting,
        world=world,
        callers=everyone,
        selection=selection,
        not_tested=[*world.not_tested, *not_refreshed, *without_token],
    )


def insert_world(connection: Connection, options: Options, common: Common) -> World:
    """Read the catalogs and insert the rows of both tenants, in the open transaction. Raises what
    `audit` raises.
    """
    found = catalog.read(connection, [*options.served, *options.schemas])
    if not options.comparison.partial:
        check(options, found)
    if found.is_read_only:
        raise PrivilegeError(
            "the database is read-only, and audit inserts rows that it rolls back",
            hint="Connect to the primary.",
        )
    used = common.usage(found, options.files.configuration.words)
    add_states(used, found, options.accepted or ())
    plan = make_plan(found, used, options.files.configuration.words)
    run_groups(connection, [REQUEST_SETTINGS])[0].answer()
    world = build(connection, plan, options.files.configuration, common, stable=options.stable)
    acting = impersonation.begin(connection, "audit", (), (), {})
    deadline = Deadline(time.monotonic() + options.seconds)
    own_exclusions.release(acting, world, deadline)
    return local_roles.find(acting, standings.settle(acting, world, deadline), deadline)
