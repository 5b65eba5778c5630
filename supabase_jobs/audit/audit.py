"""Audit a database: generate rows, run every caller's actions, judge the outcomes; everything is
rolled back.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from psycopg import errors

from supabase_jobs.audit import access, callers, catalog, summary, token_hook
from supabase_jobs.audit.baseline import OUTSIDERS, deviation_id, wider
from supabase_jobs.audit.callers import OWNER, SERVICE
from supabase_jobs.audit.common import Common
from supabase_jobs.audit.configuration import CHANNELS
from supabase_jobs.audit.copied_texts import Printable
from supabase_jobs.audit.evidence import Evidence
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import API_USERS
from supabase_jobs.audit.leaks import escalation, kinds, rls_disabled
from supabase_jobs.audit.leaks.leak import (
    DEVIATION,
    ExplainedLeak,
    PolicyLeak,
    Question,
    ShownLeak,
    shown,
)
from supabase_jobs.audit.limits import LIMITS, some
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.performance import kinds as performance
from supabase_jobs.audit.performance.context import Context
from supabase_jobs.audit.performance.plans import Planner
from supabase_jobs.audit.performance.same_access import findings as proven
from supabase_jobs.audit.policies import parse_trees, truth
from supabase_jobs.audit.policies.tested import pins
from supabase_jobs.audit.policies.usage.added import add_states
from supabase_jobs.audit.probes import (
    control_calls,
    exclusions,
    local_roles,
    own_exclusions,
    standings,
    topics,
)
from supabase_jobs.audit.probes.attempt import INSERT, SELECT, AnyAttempt, Attempt
from supabase_jobs.audit.probes.attempt import NONE as NOBODY
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.control_calls import Stopped
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.audit.probes.views_and_functions import Bypasses
from supabase_jobs.audit.reading import facts as leak_facts
from supabase_jobs.audit.repairs import candidates, causes, changes, fixes
from supabase_jobs.audit.repairs.causes import Caused
from supabase_jobs.audit.repairs.fixes import Repaired
from supabase_jobs.audit.repairs.proofs import Boundaries, Judge, Proofs
from supabase_jobs.audit.repairs.trials import Scope, Seen, Trials
from supabase_jobs.audit.rows import materialized
from supabase_jobs.audit.rows.build import World, build
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan, make_plan
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES, sqlstate_and_message
from supabase_jobs.errors import ConfigError, PrivilegeError
from supabase_jobs.findings import (
    Access,
    AccessObject,
    Audit,
    AuditCell,
    AuditedRelation,
    AuditFinding,
    Cell,
    Explanation,
    NotTested,
    Severity,
)
from supabase_jobs.session import impersonation, script
from supabase_jobs.session.deadline import Deadline, DeadlineError
from supabase_jobs.session.savepoint import rolled_back, undone
from supabase_jobs.session.script import SETTINGS

_PARTS = 5  # that `advance` counts
# the search_path as PostgREST sets it for a request; Storage refuses DELETE outside of its API
# without the other one
REQUEST_SETTINGS = (
    Statement("set local search_path = public, extensions"),
    Statement("select set_config('storage.allow_delete_query', 'true', true)"),
)


def audit(connection: Connection, options: Options) -> Audit:
    """Audit the database of a connection. Everything happens in a transaction that is rolled back.

    Raises ConfigError for an unknown schema or table, PrivilegeError if rows cannot be inserted at
    all, and psycopg's errors if the connection is lost.
    """
    started = time.monotonic()
    deadline = Deadline(started + options.seconds)
    with rolled_back(connection, Statement(SETTINGS)):
        options.advance(1, _PARTS)
        world = insert_world(connection, options, options.common or Common())
        if options.copied is not None:
            options.hide(Printable(options.copied, world).mark())
        plan, found = world.plan, world.plan.catalog
        relations = [r for r in found.reachable if selected(r, options)]
        judged_relations = [*relations, *_unreachable(found, options)]
        views = [r for r in relations if r.kind in ("v", "m")]
        not_refreshed = materialized.refresh(connection, [r for r in views if r.kind == "m"])
        acting = impersonation.begin(connection, "audit", (), (), {})
        everyone = callers.find(world, options.configuration.callers)
        without_token: list[NotTested] = []
        if options.token_hook is not None:
            hook = options.token_hook
            everyone, without_token = token_hook.issue(connection, hook, world, everyone)
        probes = Probes(acting, world, everyone, deadline)
        exposed = access.reachable_functions(found)
        called = [f for f in exposed if _callable(f, options)]
        tried: list[Bypass] = []
        to_users: Sequence[Bypass] = ()
        without_call: Sequence[Stopped] = ()
        stopped, untested = False, [*world.not_tested, *not_refreshed, *without_token]
        with undone(connection):
            try:
                options.advance(2, _PARTS)
                probes.run(relations)
                options.advance(3, _PARTS)
                bypasses = Bypasses(acting, world, everyone, probes, tried)
                bypasses.run(views, called)
                to_users = bypasses.writes_to_users
                untested += bypasses.not_compared
                without_call = bypasses.stopped(called)
                excluded = probes.exclusions
                exclusions.try_functions(acting, world, excluded, called, probes.prober)
            except DeadlineError:
                stopped = True
        options.advance(4, _PARTS)
        channels: list[TopicAttempt] = []
        if not (
            stopped
            or options.tables
            or options.schemas
            or CHANNELS in options.configuration.excluded
        ):
            with undone(connection):
                try:
                    channels, without_topics = topics.run(acting, deadline, world, everyone)
                    topics.run_excluded(acting, deadline, channels, probes.exclusions)
                    untested += without_topics
                except DeadlineError:
                    stopped = True
        granted = {**access.access(probes.attempts, tried), **access.of_topics(channels)}
        facts = leak_facts.read(
            plan,
            judged_relations,
            probes.attempts,
            probes.gains,
            [*tried, *to_users],
            channels,
            callers.current(probes.standings, everyone),
            [one.function for one in without_call],
            probes.exclusions,
            options.revocations,
        )
        asked = {one.function for one in facts.unpassed}
        untested += control_calls.not_tested(
            one for one in without_call if one.function.signature not in asked
        )
        found_leaks = kinds.find(facts)
        judged = [leak for leak in found_leaks if isinstance(leak, ShownLeak)]
        beyond = _beyond(granted, options.accepted, probes.attempts, facts)
        options.advance(5, _PARTS)
        if options.record is not None:
            of_cells = {deviation_id(cell): leak for cell, leak in beyond.items()}
            evidence = Evidence(
                impersonation=acting,
                world=world,
                callers=everyone,
                attempts=probes.attempts,
                gains=probes.gains,
                bypasses=tried,
                channels=channels,
                leaks={**{leak.id: leak for leak in found_leaks}, **of_cells},
            )
            options.record(evidence)
        by_grant = _opened_by_grants(beyond, options.accepted or {}, probes.attempts)
        deviations = {key: leak for key, leak in beyond.items() if key not in by_grant}
        caused = causes.find(
            acting,
            [*judged, *deviations.values()],
            probes.attempts,
            plan,
            _changes(connection, options, found),
        )
        trials = Trials(
            acting,
            world,
            everyone,
            Deadline(time.monotonic() + LIMITS.repair_seconds),
            Scope(judged_relations, called),
            Seen(
                plan=plan,
                attempts=probes.attempts,
                gains=probes.gains,
                bypasses=tried,
                find=lambda _: found_leaks,
            ),
            probes.known,
            channels,
        )
        closed = [
            leak
            for leak in found_leaks
            if leak.severity.is_problem and leak.id not in options.intended
        ]
        proofs = Proofs(
            trials,
            Judge(
                [*closed, *deviations.values()],
                options.accepted,
                Boundaries(world),
                _signatures(options.before),
                joins=[one.leak.id for one in caused[: len(judged)] if _joins(one, facts, plan)],
                above=_reads_above(facts, probes.attempts),
                opening=[id(gain.write) for gain in probes.gains],
                authors=_authors(plan),
            ),
            fixes.Renderer(connection, plan),
            options.accepted,
        )
        tried_out = proofs if options.repairs else None
        repaired = _repaired(
            plan,
            tried_out,
            caused[: len(judged)],
            [leak for leak in found_leaks if isinstance(leak, ExplainedLeak)],
            {
                *options.intended,
                *options.known,
                *(leak.id for leak in found_leaks if _is_left_out(leak.id, options)),
            },
        )
        by_cell = dict(zip(deviations, caused[len(judged) :], strict=True))
        of_new = {
            cell: one
            for cell, one in by_cell.items()
            if _is_info(cell, granted, options) or _is_left_out(deviation_id(cell), options)
        }
        others = {cell: one for cell, one in by_cell.items() if cell not in of_new}
        beyond_baseline = fixes.of_deviations(plan, tried_out, others)
        beyond_baseline |= fixes.of_deviations(plan, None, of_new)
        together = None
        if options.repaired is not None:
            named = {str(one.leak.id): one for one in repaired}
            named |= {deviation_id(cell): one for cell, one in beyond_baseline.items()}
            together = proofs.together(
                {
                    name: one.proven
                    for name, one in named.items()
                    if one.proven.is_proven and (not options.repaired or name in options.repaired)
                },
                Deadline(time.monotonic() + LIMITS.repair_seconds),
            )
        findings = [one.finding(proofs) for one in repaired]
        explained = {key: one.explanation(proofs) for key, one in beyond_baseline.items()}
        slow: tuple[AuditFinding, ...] = ()
        if options.performance:
            trials.extend(Deadline(time.monotonic() + LIMITS.repair_seconds))
            own = [relation for relation in found.tables if selected(relation, options)]
            context = Context(found, own, everyone, Planner(acting))
            leaking = [one for one in repaired if one.leak.id not in options.intended]
            slow = tuple(proven(trials, performance.find(context), _policies(leaking)))
    explained |= by_grant
    findings += fixes.of_policies(
        plan, [leak for leak in found_leaks if isinstance(leak, PolicyLeak)]
    )
    findings += [leak.finding for leak in found_leaks if isinstance(leak, Question)]
    tables = [r for r in relations if r in found.tables]
    required = {"database", CHANNELS, *(r.label for r in relations)}
    untested += _not_tested(probes.attempts, tried, plan, options, required, stopped=stopped)
    return Audit(
        findings=tuple(
            sorted(findings, key=lambda f: (list(Severity).index(f.severity), f.object, f.id))
        ),
        cells=tuple(_cells((*probes.attempts, *tried, *channels), options)),
        summaries=tuple(summary.summaries(probes.attempts, judged)),
        not_tested=tuple(
            replace(item, fails=item.fails or item.object in required) for item in untested
        ),
        tables=len(tables),
        planted=sum(r.oid in world.a.rows for r in tables),
        milliseconds=(time.monotonic() - started) * 1000,
        access=granted,
        functions=access.functions([] if options.tables else exposed),
        explained=explained,
        callers={caller.label: script.caller(caller) for caller in everyone},
        relations={
            r.label: _relation(r, plan, probes.restored.get(r.oid, ()))
            for r in found.relations
            if selected(r, options)
        },
        tested={**access.tested(probes.attempts, tried), **access.tested_topics(channels)},
        repairs=together,
        performance=slow,
        settled=world.settled,
        meanings={caller.label: caller.meaning for caller in everyone},
        excluded=frozenset(options.configuration.excluded),
    )


def _authors(plan: Plan) -> dict[int, str]:
    """The column that names who adds a row, of each table whose rows name several persons."""
    found = {}
    for relation in plan.catalog.tables:
        persons = user_columns(relation, plan.usage, plan.per_user)
        first = candidates.authors(plan, relation, persons) if len(persons) > 1 else []
        if len(first) == 1:
            found[relation.oid] = first[0]
    return found


def _reads_above(facts: Facts, attempts: Sequence[Attempt]) -> dict[int, list[Attempt]]:
    """The id() of attempts → the reads of the rows that their row refers to."""
    found = {}
    for number, above in facts.reads_above:
        found[id(attempts[number])] = [attempts[one] for one in above]
    return found


def _policies(leaking: Iterable[Repaired]) -> set[tuple[str, str]]:
    """The tables and names of the policies that errors and warnings are about."""
    return {
        (one.leak.label, policy)
        for one in leaking
        if one.leak.severity.is_problem
        for policy in one.policies
    }


def _is_left_out(id_: str, options: Options) -> bool:
    """Whether repairs are tried of others only, and not of the leak or access with this id."""
    return not isinstance(options.repairs, bool) and id_ not in options.repairs


def _repaired(
    plan: Plan,
    proofs: Proofs | None,
    caused: Sequence[Caused],
    explained: Sequence[ExplainedLeak],
    kept: Collection[str],
) -> list[Repaired]:
    """The repairs of leaks, but for those that are to be `kept`. The gravest are the first of their
    sort, since the time may be over. A hard one leaves the others their part of it, and is tried
    again at the end. An info is access that may be intended: SQL that ends it could break the
    project.
    """

    def order(one: Caused | ExplainedLeak) -> tuple[bool, int, bool]:
        leak = one.leak if isinstance(one, Caused) else one
        # what a write opens may be closed by the repair of what it opens
        opens = leak.kind is escalation.KIND
        return opens, list(Severity).index(leak.severity), isinstance(one, ExplainedLeak)

    def is_tried(one: Caused | ExplainedLeak) -> bool:
        leak = one.leak if isinstance(one, Caused) else one
        return leak.severity.is_problem and leak.id not in kept

    def repaired(one: Caused | ExplainedLeak, others: int) -> Repaired:
        if proofs is not None:
            proofs.share(others)
        if isinstance(one, ExplainedLeak):
            return fixes.of_explained(plan, None if one.id in kept else proofs, one)
        return fixes.of_shown(plan, proofs if is_tried(one) else None, one)

    every: list[Caused | ExplainedLeak] = sorted([*caused, *explained], key=order)
    behind = sum(map(is_tried, every))
    found = []
    for one in every:
        behind -= is_tried(one)
        found.append(repaired(one, behind))
    late = [at for at, one in enumerate(found) if one.is_late]
    for number, at in enumerate(late, 1):
        found[at] = repaired(every[at], len(late) - number)
    return found


def _changes(
    connection: Connection, options: Options, found: catalog.Catalog
) -> list[changes.Change]:
    """The changes since the state with which the audit is compared."""
    if options.before is None:
        return []
    return changes.between(options.before, changes.state(connection, found))


def _joins(one: Caused, facts: Facts, plan: Plan) -> bool:
    """Whether a leak is that its caller joins something that it could see before, or for which it
    may ask: policies accept only its row in a state that others change. So is adding oneself where
    no function that a request may call adds anybody: the app does so, of those who have a code.
    """
    leak = one.leak
    if leak.kind is not escalation.KIND or leak.tried.action != INSERT:
        return False
    if facts.readable_parents(leak.tried):
        return True
    adding = [f for f in plan.catalog.functions if f.callers and f.result != "trigger"]
    by_call = any(one.relation.oid in plan.usage.bodies.adds[f.oid] for f in adding)
    if not by_call and not leak.tried.column:
        return True
    return bool(one.policies) and all(pins(one.relation, policy) for policy in one.policies)


def _signatures(before: changes.State | None) -> list[str]:
    """The functions of the state before."""
    return [] if before is None else [f.signature for f in before.catalog.functions]


def _unreachable(found: catalog.Catalog, options: Options) -> list[catalog.Relation]:
    """The tables of served schemas for which no role of a request has a privilege: what their
    policies permit is refused.
    """
    return [
        relation
        for relation in found.tables
        if relation.schema in found.served
        and relation not in found.reachable
        and selected(relation, options)
    ]


def _relation(relation: catalog.Relation, plan: Plan, restored: Collection[str]) -> AuditedRelation:
    return AuditedRelation(
        kind={"v": "view", "m": "materialized view"}.get(relation.kind, "table"),
        columns=frozenset(relation.by_name),
        rls=relation.rls,
        reachable=relation in plan.catalog.reachable,
        mentioned=frozenset(relation.by_name.keys() & plan.usage.mentions.words),
        unsettable=frozenset(restored).union(
            c.name for c in relation.columns if c.generated or c.identity == "a"
        ),
    )


def insert_world(connection: Connection, options: Options, common: Common) -> World:
    """Read the catalogs and insert the rows of both tenants, in the open transaction. Raises what
    `audit` raises.
    """
    found = catalog.read(connection, [*options.served, *options.schemas])
    if not options.partial:
        check(options, found)
    if found.is_read_only:
        raise PrivilegeError(
            "the database is read-only, and audit inserts rows that it rolls back",
            hint="Connect to the primary.",
        )
    used = common.usage(found, options.configuration.words)
    add_states(used, found, options.accepted or ())
    plan = make_plan(found, used, options.configuration.words)
    run_groups(connection, [REQUEST_SETTINGS])[0].answer()
    world = build(connection, plan, options.configuration, common, stable=options.stable)
    acting = impersonation.begin(connection, "audit", (), (), {})
    deadline = Deadline(time.monotonic() + options.seconds)
    own_exclusions.release(acting, world, deadline)
    return local_roles.find(acting, standings.settle(acting, world, deadline), deadline)


def _not_tested(
    attempts: Sequence[Attempt],
    bypasses: Sequence[Bypass],
    plan: Plan,
    options: Options,
    required: Collection[str],
    *,
    stopped: bool,
) -> Iterator[NotTested]:
    """The actions that were not tested although there are rows for them. Those on rows of the
    `required` tables fail the audit.
    """
    if stopped:
        why = f"the audit was stopped after {options.seconds:.0f} seconds"
        yield NotTested(
            "database", why, "Audit a part with --schema or --table, and look for slow policies."
        )
    for name, reason in options.configuration.excluded.items():
        yield NotTested(
            name, f"excluded: {reason}", "To audit it, remove it from [excluded] in audit.toml."
        )
    slow: dict[AccessObject, str] = {}
    tried: list[AnyAttempt] = [*attempts, *bypasses]
    for one in tried:
        if one.outcome in INCONCLUSIVE_SQLSTATES:
            why = f"{one.action} as {one.caller.label} failed with {one.outcome}"
            slow.setdefault(one.target, why)
    yield from _recursive(attempts)
    yield from _unsatisfied(attempts, plan)
    yield from _behind_views(plan.catalog, options)
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


def _beyond(
    granted: Access, accepted: Access | None, attempts: Sequence[Attempt], facts: Facts
) -> dict[Cell, ShownLeak]:
    """The attempts that show access beyond the accepted one, one for each object, caller and
    action.
    """
    if accepted is None:
        return {}
    by_cell = access.shown_by(attempts)
    tried = {id(attempt): facts.tried[number] for number, attempt in enumerate(attempts)}
    found: dict[Cell, ShownLeak] = {}
    for cell in wider(granted, accepted):
        if (attempt := by_cell.get(cell)) is not None:
            one = tried[id(attempt)]
            kind = DEVIATION if one.table.rls else rls_disabled.KIND
            found[cell] = shown(kind, Severity.INFO, one, "")
    return found


def _is_info(cell: Cell, granted: Access, options: Options) -> bool:
    """Whether access beyond the baseline is that of an object which the baseline lacks, and which
    no outsider reaches: an info, whose access may be intended.
    """
    reached = {caller for caller, actions in granted[cell.object].items() if actions}
    return cell.object not in (options.accepted or {}) and not reached & OUTSIDERS


def _opened_by_grants(
    beyond: Mapping[Cell, ShownLeak], accepted: Access, attempts: Sequence[Attempt]
) -> dict[Cell, Explanation]:
    """Cause and fix of reads that a grant on columns opens, not a policy."""
    found = {}
    for cell, leak in beyond.items():
        before = accepted.get(cell.object, {}).get(cell.caller, ())
        attempt = attempts[leak.tried.number]
        role = attempt.caller.role
        how = fixes.of_column_grants(attempt.relation, role, cell.permission, before)
        if how is not None:
            found[cell] = how
    return found


def _cells(tried: Iterable[AnyAttempt], options: Options) -> Iterator[AuditCell]:
    for one in tried:
        yield AuditCell(
            object=one.label,
            caller=one.caller.label,
            whose=one.whose,
            action=one.action,
            detail=one.detail,
            outcome=one.outcome,
            sql=one.script,
            request=partial(_command, one, options.served[0]),
        )


def _command(one: AnyAttempt, default_schema: str) -> str:
    request = one.request(default_schema)
    return request.command if request is not None else ""


def _callable(function: catalog.Function, options: Options) -> bool:
    """Whether the options allow calls of a function."""
    return (
        options.functions
        and not options.tables
        and (not options.schemas or function.schema in options.schemas)
    )


def check(options: Options, *catalogs: catalog.Catalog) -> None:
    """Raise ConfigError for a schema or table that an option or audit.toml names, and none of the
    databases has.
    """
    options.configuration.check(*catalogs)
    if unknown := set(options.schemas) - {
        name for found in catalogs for name in found.schema_users
    }:
        raise ConfigError(f"--schema: no schema {min(unknown)!r} in the database")
    names = {name for found in catalogs for r in found.relations for name in (r.label, r.name)}
    if unknown := set(options.tables) - names:
        raise ConfigError(
            f"--table: no table {min(unknown)!r} in the database", hint="Write schema.table."
        )


def selected(relation: catalog.Relation, options: Options) -> bool:
    """Whether the options select a relation."""
    if relation.label in options.configuration.excluded:
        return False
    in_schema = not options.schemas or relation.schema in options.schemas
    return in_schema and (
        not options.tables or relation.label in options.tables or relation.name in options.tables
    )
