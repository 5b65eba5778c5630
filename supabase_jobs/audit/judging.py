"""Judge what was tried: the access that it shows, its leaks, and what goes beyond a baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from supabase_jobs.audit import access, callers
from supabase_jobs.audit.baseline import OUTSIDERS, deviation_id, wider
from supabase_jobs.audit.evidence import Evidence
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks import kinds, rls_disabled
from supabase_jobs.audit.leaks.leak import DEVIATION, AnyLeak, ShownLeak, shown
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.probes.attempt import Attempt
from supabase_jobs.audit.probing import Run
from supabase_jobs.audit.reading import facts as leak_facts
from supabase_jobs.audit.repairs import fixes
from supabase_jobs.findings import Access, Cell, Explanation, Severity


@dataclass(frozen=True, eq=False)
class Judgement:
    """The access that a run shows, the facts and the leaks. `beyond` is the access beyond the
    baseline, and `by_grants` explains the part of it that grants on columns open.
    """

    granted: Access
    facts: Facts
    leaks: Sequence[AnyLeak]
    beyond: Mapping[Cell, ShownLeak]
    by_grants: Mapping[Cell, Explanation]

    @cached_property
    def shown(self) -> list[ShownLeak]:
        """The leaks that attempts on tables show."""
        return [leak for leak in self.leaks if isinstance(leak, ShownLeak)]

    @cached_property
    def deviations(self) -> dict[Cell, ShownLeak]:
        """The access beyond the baseline that policies open."""
        return {cell: leak for cell, leak in self.beyond.items() if cell not in self.by_grants}


def judge(run: Run, options: Options) -> Judgement:
    """Find the access and the leaks."""
    attempts = run.probes.attempts
    granted = {**access.access(attempts, run.bypasses), **access.of_topics(run.channels)}
    facts = _facts(run, options)
    beyond = _beyond(granted, options.accepted, attempts, facts)
    return Judgement(
        granted=granted,
        facts=facts,
        leaks=kinds.find(facts),
        beyond=beyond,
        by_grants=_opened_by_grants(beyond, options.accepted or {}, attempts),
    )


def evidence(run: Run, judged: Judgement) -> Evidence:
    """The evidence of the leaks, which exists as long as the rows do."""
    of_cells = {deviation_id(cell): leak for cell, leak in judged.beyond.items()}
    return Evidence(
        impersonation=run.scene.impersonation,
        world=run.scene.world,
        callers=run.scene.callers,
        attempts=run.probes.attempts,
        gains=run.probes.gains,
        bypasses=run.bypasses,
        channels=run.channels,
        leaks={**{leak.id: leak for leak in judged.leaks}, **of_cells},
    )


def _facts(run: Run, options: Options) -> Facts:
    scene, probes = run.scene, run.probes
    return leak_facts.read(
        scene.plan,
        scene.selection.judged,
        probes.attempts,
        probes.gains,
        [*run.bypasses, *run.writes_to_users],
        run.channels,
        callers.current(probes.standings, scene.callers),
        [one.function for one in run.without_call],
        probes.exclusions,
        options.files.revocations,
    )


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


def is_new(cell: Cell, granted: Access, options: Options) -> bool:
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
