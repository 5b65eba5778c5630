"""The actions that an audit has not tested, although there are rows for them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from psycopg import errors

from supabase_jobs.audit import catalog
from supabase_jobs.audit.callers import OWNER, SERVICE
from supabase_jobs.audit.configuration import CHANNELS
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import API_USERS
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.policies import parse_trees, truth
from supabase_jobs.audit.probes import control_calls
from supabase_jobs.audit.probes.attempt import NONE as NOBODY
from supabase_jobs.audit.probes.attempt import SELECT, AnyAttempt, Attempt
from supabase_jobs.audit.probing import Run
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.selection import selected
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES, sqlstate_and_message
from supabase_jobs.findings import AccessObject, NotTested


def find(run: Run, facts: Facts, options: Options) -> list[NotTested]:
    """Everything that the run has not tested. What concerns a relation of the audit fails it."""
    required = {"database", CHANNELS, *(r.label for r in run.scene.selection.relations)}
    asked = {one.function for one in facts.unpassed}
    functions = [one for one in run.without_call if one.function.signature not in asked]
    found = [*run.not_tested, *control_calls.not_tested(functions)]
    found += _of_options(options, is_stopped=run.is_stopped)
    found += _recursive(run.probes.attempts)
    found += _unsatisfied(run.probes.attempts, run.scene.plan)
    found += _behind_views(run.scene.plan.catalog, options)
    found += _interrupted([*run.probes.attempts, *run.bypasses], required)
    return [replace(one, fails=one.fails or one.object in required) for one in found]


def _of_options(options: Options, *, is_stopped: bool) -> Iterator[NotTested]:
    """The part that the time limit and audit.toml leave out."""
    if is_stopped:
        why = f"the audit was stopped after {options.seconds:.0f} seconds"
        yield NotTested(
            "database", why, "Audit a part with --schema or --table, and look for slow policies."
        )
    for name, reason in options.files.configuration.excluded.items():
        yield NotTested(
            name, f"excluded: {reason}", "To audit it, remove it from [excluded] in audit.toml."
        )


def _interrupted(tried: Sequence[AnyAttempt], required: Collection[str]) -> Iterator[NotTested]:
    """The objects on which an action took too long or waited for a lock."""
    slow: dict[AccessObject, str] = {}
    for one in tried:
        if one.outcome in INCONCLUSIVE_SQLSTATES:
            why = f"{one.action} as {one.caller.label} failed with {one.outcome}"
            slow.setdefault(one.target, why)
    for target, why in slow.items():
        yield NotTested(
            object=str(target),
            why=f"{why}: a lock or the statement timeout",
            help="Audit again when the server is idle.",
            fails=target.label in required,
        )


def _recursive(attempts: Sequence[Attempt]) -> Iterator[NotTested]:
    """Tables with a policy that queries its own table: every request of its roles fails, so nothing
    is known.
    """
    failed: dict[str, str] = {}
    for attempt in attempts:
        if isinstance(attempt.error, errors.InvalidObjectDefinition):
            why = (
                f"{attempt.action} as {attempt.caller.label} fails:"
                f" {sqlstate_and_message(attempt.error)}"
            )
            failed.setdefault(attempt.relation.label, why)
    for label, why in failed.items():
        help_ = "A policy queries its own table: move the query into a SECURITY DEFINER function."
        yield NotTested(label, why, help_)


def _unsatisfied(attempts: Sequence[Attempt], plan: Plan) -> Iterator[NotTested]:
    """Tables whose policies for reading no caller of the audit satisfies, or only one with rows in
    all tables, although a row belongs to nobody: who reads them is not known. Of those whose
    policies read a table of staff, the staff does.
    """
    selects = [a for a in attempts if a.action == SELECT and a.caller.kind != SERVICE]
    known = {a.relation.oid for a in selects if a.reached or a.error is not None}
    others = {
        a.relation.oid
        for a in selects
        if a.error is not None or (a.reached and not (a.caller.kind == OWNER and a.whose == NOBODY))
    }
    for relation in dict.fromkeys(a.relation for a in selects if not a.relation.is_storage):
        roles = [r for r in API_USERS if relation.may(r, "SELECT")]
        policies = [p for p in relation.policies if _may_admit(p, roles)]
        is_read = relation.oid in known
        by_staff = is_read and not plan.staff.isdisjoint(plan.usage.reads.get(relation.oid, ()))
        if policies and relation.oid not in others and not by_staff:
            names = ", ".join(f'policy "{policy.name}"' for policy in policies)
            who = "only the owner of all rows" if is_read else "no caller"
            why = f"{who} of the audit can read a row by {names}"
            help_ = "Describe a caller who satisfies it under [callers] in supabase/audit.toml."
            yield NotTested(relation.label, why, help_)


def _behind_views(found: catalog.Catalog, options: Options) -> Iterator[NotTested]:
    """The schemas that the API does not serve with tables that views open with the rights of their
    caller: the views are tried, and not everything that the policies of the tables permit.
    """
    views = [r for r in found.reachable if r.kind == "v" and r.invoker and selected(r, options)]
    tables = [found.by_oid[oid] for view in views for oid in view.reads if oid in found.by_oid]
    behind: dict[str, dict[str, None]] = {}
    for table in tables:
        is_open = table.rls and any(found.policies_open(table, role) for role in API_USERS)
        if is_open and table.schema not in found.served:
            behind.setdefault(table.schema, {}).setdefault(table.label)
    for schema, labels in behind.items():
        why = f"the policies of {some(list(labels))} are tried by views only"
        yield NotTested(schema, why, f"Try the tables, too: add --schema {schema}.")


def _may_admit(policy: catalog.Policy, roles: Collection[str]) -> bool:
    """Whether a policy lets some role read some rows, as far as its text tells."""
    if not (policy.permissive and policy.governs(SELECT)):
        return False
    tree = parse_trees.expression_tree(policy.visible or "true")
    applying = [role for role in roles if policy.applies_to(role)]
    return any(not truth.never_true(tree, role) for role in applying)
