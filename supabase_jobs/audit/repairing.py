"""Find causes and repairs of leaks and of access beyond a baseline, and try what is slow."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from supabase_jobs.audit.baseline import deviation_id
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.judging import Judgement, is_new
from supabase_jobs.audit.leaks import escalation
from supabase_jobs.audit.leaks.attempts import reads_of_others, shows_visitors
from supabase_jobs.audit.leaks.leak import ExplainedLeak
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.policies.tested import pins
from supabase_jobs.audit.probes.attempt import INSERT, Attempt
from supabase_jobs.audit.probing import Run
from supabase_jobs.audit.repairs import causes, changes, fixes, owners
from supabase_jobs.audit.repairs.boundaries import Boundaries
from supabase_jobs.audit.repairs.causes import Caused
from supabase_jobs.audit.repairs.fixes import Repaired
from supabase_jobs.audit.repairs.judge import Judge
from supabase_jobs.audit.repairs.proofs import Proofs
from supabase_jobs.audit.repairs.seen import Scope, Seen
from supabase_jobs.audit.repairs.trials import Trials
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.selection import selected
from supabase_jobs.findings import AuditFinding, Cell, Explanation, Repairs, Severity
from supabase_jobs.session.deadline import Deadline


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """The findings of leaks and the explanations of access beyond the baseline, with what repairs
    them; the proven repairs `together`, and what makes requests slow, if they were asked for.
    """

    findings: Sequence[AuditFinding]
    explained: Mapping[Cell, Explanation]
    together: Repairs | None
    slow: Sequence[AuditFinding]


@dataclass(frozen=True)
class _Causes:
    """The leaks, and the access beyond the baseline, with their causes."""

    leaks: Sequence[Caused]
    cells: Mapping[Cell, Caused]


def repair(run: Run, judged: Judgement, options: Options) -> Proposals:
    """Find the causes and try the repairs; the changes are undone."""
    caused = _causes(run, judged, options)
    trials = _trials(run, judged)
    proofs = _proofs(run, judged, options, caused, trials)
    repaired = _of_leaks(run.scene.plan, judged, options, caused, proofs)
    beyond = _of_cells(run.scene.plan, judged, options, caused, proofs)
    together = _together(repaired, beyond, options, proofs)
    return Proposals(
        findings=[one.finding(proofs) for one in repaired],
        explained={cell: one.explanation(proofs) for cell, one in beyond.items()},
        together=together,
        slow=_slow(run, options, trials, repaired) if options.performance else (),
    )


def _causes(run: Run, judged: Judgement, options: Options) -> _Causes:
    """Find the causes, first among the changes since the state with which the audit compares."""
    acting, plan = run.scene.impersonation, run.scene.plan
    changed: list[changes.Change] = []
    if options.comparison.before is not None:
        state = changes.state(acting.connection, plan.catalog)
        changed = changes.between(options.comparison.before, state)
    leaks = [*judged.shown, *judged.deviations.values()]
    found = causes.find(acting, leaks, run.probes.attempts, plan, changed)
    number = len(judged.shown)
    return _Causes(found[:number], dict(zip(judged.deviations, found[number:], strict=True)))


def _trials(run: Run, judged: Judgement) -> Trials:
    scene, probes = run.scene, run.probes
    return Trials(
        scene.impersonation,
        scene.world,
        scene.callers,
        Deadline(time.monotonic() + LIMITS.repair_seconds),
        Scope(scene.selection.judged, scene.selection.called),
        Seen(
            plan=scene.plan,
            attempts=probes.attempts,
            gains=probes.gains,
            bypasses=run.bypasses,
            find=lambda _: judged.leaks,
            of_kind=lambda kind: [leak for leak in judged.leaks if leak.kind is kind],
        ),
        probes.known,
        run.channels,
    )


def _proofs(
    run: Run, judged: Judgement, options: Options, caused: _Causes, trials: Trials
) -> Proofs:
    """The trials of repairs, with the leaks that they have to close and what they have to keep."""
    plan, facts = run.scene.plan, judged.facts
    closed = [
        leak
        for leak in judged.leaks
        if leak.severity.is_problem and leak.id not in options.intended
    ]
    before = (
        [] if options.comparison.before is None else options.comparison.before.catalog.functions
    )
    judge = Judge(
        [*closed, *judged.deviations.values()],
        options.accepted,
        Boundaries(run.scene.world),
        [function.signature for function in before],
        joins=[one.leak.id for one in caused.leaks if _joins(one, facts, plan)],
        above=_reads_above(facts, run.probes.attempts),
        opening=[id(gain.write) for gain in run.probes.gains],
        authors=_authors(plan),
        shown=_shown(facts, run.probes.attempts),
    )
    renderer = fixes.Renderer(run.scene.impersonation.connection, plan)
    return Proofs(trials, judge, renderer)


def _of_leaks(
    plan: Plan, judged: Judgement, options: Options, caused: _Causes, proofs: Proofs
) -> list[Repaired]:
    """The repairs of leaks. None is tried of a leak that is intended, known or left out."""
    kept = {
        *options.intended,
        *options.comparison.known,
        *(leak.id for leak in judged.leaks if _is_left_out(leak.id, options)),
    }
    explained = [leak for leak in judged.leaks if isinstance(leak, ExplainedLeak)]
    return _repaired(plan, proofs if options.repairs else None, caused.leaks, explained, kept)


def _of_cells(
    plan: Plan, judged: Judgement, options: Options, caused: _Causes, proofs: Proofs
) -> dict[Cell, Repaired]:
    """The repairs of access beyond the baseline. None is tried if the access may be intended."""
    kept = {
        cell: one
        for cell, one in caused.cells.items()
        if is_new(cell, judged.granted, options) or _is_left_out(deviation_id(cell), options)
    }
    others = {cell: one for cell, one in caused.cells.items() if cell not in kept}
    found = fixes.of_deviations(plan, proofs if options.repairs else None, others)
    return found | fixes.of_deviations(plan, None, kept)


def _together(
    repaired: Iterable[Repaired],
    beyond: Mapping[Cell, Repaired],
    options: Options,
    proofs: Proofs,
) -> Repairs | None:
    """The proven repairs of the findings that the options name, tried together."""
    if options.repaired is None:
        return None
    named = {str(one.leak.id): one for one in repaired}
    named |= {deviation_id(cell): one for cell, one in beyond.items()}
    wanted = {
        name: one.proven
        for name, one in named.items()
        if one.proven.is_proven and (not options.repaired or name in options.repaired)
    }
    return proofs.together(wanted, Deadline(time.monotonic() + LIMITS.repair_seconds))


def _slow(
    run: Run, options: Options, trials: Trials, repaired: Iterable[Repaired]
) -> tuple[AuditFinding, ...]:
    """The findings on requests that are slow, with the rewrites that were tried."""
    from supabase_jobs.audit.performance import kinds as performance
    from supabase_jobs.audit.performance.context import Context
    from supabase_jobs.audit.performance.plans import Planner
    from supabase_jobs.audit.performance.same_access import findings as proven

    trials.extend(Deadline(time.monotonic() + LIMITS.repair_seconds))
    scene, found = run.scene, run.scene.plan.catalog
    own = [relation for relation in found.tables if selected(relation, options)]
    context = Context(found, own, scene.callers, Planner(scene.impersonation))
    leaking = [one for one in repaired if one.leak.id not in options.intended]
    return tuple(proven(trials, performance.find(context), _policies(leaking)))


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

    every = _in_turns([*caused, *explained], order)
    behind = sum(map(is_tried, every))
    found = []
    for one in every:
        behind -= is_tried(one)
        found.append(repaired(one, behind))
    late = [at for at, one in enumerate(found) if one.is_late]
    for number, at in enumerate(late, 1):
        found[at] = repaired(every[at], len(late) - number)
    return found


def _in_turns(
    every: Iterable[Caused | ExplainedLeak],
    order: Callable[[Caused | ExplainedLeak], tuple[bool, int, bool]],
) -> list[Caused | ExplainedLeak]:
    """Findings in an order, and of the same place in it one of each kind after another: the many
    of one kind, whose repairs are often alike, leave the others some time.
    """
    turns = Counter[Hashable]()
    placed = list[tuple[tuple[bool, int, bool], int, Caused | ExplainedLeak]]()
    for one in every:
        leak = one.leak if isinstance(one, Caused) else one
        place = order(one)
        placed.append((place, turns[place, leak.kind], one))
        turns[place, leak.kind] += 1
    return [one for *_, one in sorted(placed, key=lambda each: each[:2])]


def _is_left_out(id_: str, options: Options) -> bool:
    """Whether repairs are tried of others only, and not of the leak or access with this id."""
    return not isinstance(options.repairs, bool) and id_ not in options.repairs


def _joins(one: Caused, facts: Facts, plan: Plan) -> bool:
    """Whether a leak is that its caller joins something that it could see before, or for which it
    may ask: policies accept only its row in a state that others change. So is adding oneself to a
    group where no function that a request may call adds anybody: the app does so, of those who have
    a code.
    """
    leak = one.leak
    if leak.kind is not escalation.KIND or leak.tried.action != INSERT:
        return False
    if facts.readable_parents(leak.tried):
        return True
    adding = [f for f in plan.catalog.functions if f.callers and f.result != "trigger"]
    by_call = any(one.relation.oid in plan.usage.bodies.adds[f.oid] for f in adding)
    if one.relation.oid in plan.memberships and not by_call and not leak.tried.column:
        return True
    return bool(one.policies) and all(pins(one.relation, policy) for policy in one.policies)


def _reads_above(facts: Facts, attempts: Sequence[Attempt]) -> dict[int, list[Attempt]]:
    """The id() of attempts → the reads of the rows that their row refers to."""
    found = {}
    for number, above in facts.reads_above:
        found[id(attempts[number])] = [attempts[one] for one in above]
    return found


def _shown(facts: Facts, attempts: Sequence[Attempt]) -> list[int]:
    """The id() of the reads of rows that a policy shows to requests without a user by name."""
    groups = [group for group in facts.objects.values() if shows_visitors(group)]
    return [id(attempts[one.number]) for group in groups for one in reads_of_others(group)]


def _authors(plan: Plan) -> dict[int, str]:
    """The column that names who adds a row, of each table whose rows name several persons."""
    found = {}
    for relation in plan.catalog.tables:
        persons = user_columns(relation, plan.usage, plan.per_user)
        first = owners.authors(plan, relation, persons) if len(persons) > 1 else []
        if len(first) == 1:
            found[relation.oid] = first[0]
    return found


def _policies(leaking: Iterable[Repaired]) -> set[tuple[str, str]]:
    """The tables and names of the policies that errors and warnings are about."""
    return {
        (one.leak.label, policy)
        for one in leaking
        if one.leak.severity.is_problem
        for policy in one.policies
    }
