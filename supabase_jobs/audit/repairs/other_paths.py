"""Acts that pass by other conditions of the same policies than the leaks that a repair closes."""

from collections.abc import Hashable, Sequence

from supabase_jobs.audit.callers import SERVICE
from supabase_jobs.audit.leaks import (
    public,
    service_column,
)
from supabase_jobs.audit.leaks.leak import (
    AnyLeak,
    ShownLeak,
)
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.attempt import (
    OWN,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.repairs import paths
from supabase_jobs.audit.repairs.belonging import belongs
from supabase_jobs.audit.repairs.demand import Demand
from supabase_jobs.audit.repairs.judge import Judge
from supabase_jobs.audit.repairs.trials import Trials
from supabase_jobs.audit.repairs.verdict import (
    NamedCell,
    Verdict,
    cell_of,
    in_order,
)


class OtherPaths:
    """Looks for what a repair takes of those who pass by other conditions of a policy."""

    def __init__(self, trials: Trials, judge: Judge) -> None:
        self._trials, self._judge = trials, judge

    def verdict(
        self, leak: AnyLeak, demand: Demand, text: str, closed: Sequence[AnyLeak]
    ) -> Verdict | None:
        """The effects on acts that pass by other conditions of the same policies than the leaks
        that a repair closes: what is lost of them, and the conditions by which nobody passes; None
        if there are none. A baseline says itself what may not end.
        """
        if not isinstance(leak, ShownLeak) or self._judge.has_baseline:
            return None
        leaks = [*closed, leak]
        shown = [self._trials.shown_by(one) for one in leaks if isinstance(one, ShownLeak)]
        tried = self._trials.shown_by(leak)
        takes = [
            NamedCell(tried.caller.label, f'what policy "{policy.name}" permits by name: {does}')
            for policy in paths.permitting(demand, tried, is_of_column=leak.kind.of_column)
            for does in [cell_of(tried).what]
        ]
        found = paths.of_demand(demand, tried.relation, tried.caller.role)
        is_meant = any(path.is_open for path in found.ended) or self._is_part_of_read(tried)
        if leak.kind is public.KIND and is_meant:
            takes.append(cell_of(tried))
        if takes or len(found.ended) < 2:
            return Verdict(closes=1, takes=in_order(takes)) if takes else None
        own = [p for p in found.ended if any(self._trials.reaching(found.only(p), shown))]
        others = [path for path in found.ended if path not in own]
        if not (own and others):
            return None
        acts = self._acts(found, demand, tried, is_owners=leak.kind is not service_column.KIND)
        kept = self._trials.reaching(text, acts)
        elsewhere = self._trials.reaching(found.only(None), acts)
        shared = [self._trials.reaching(found.only(path), acts) for path in own]
        unseen = []
        for path in others:
            passing = self._trials.reaching(found.only(path), acts)
            is_seen = False
            for number, act in enumerate(acts):
                if not passing[number] or elsewhere[number]:
                    continue
                is_of_leak = any(one[number] for one in shared)
                # a guest writes the same column of a row of its own
                is_same = leak.kind.of_column and act.whose == OWN and belongs(act, leak)
                is_seen |= kept[number] or is_same or not is_of_leak
                if not (kept[number] or is_of_leak or is_same):
                    takes.append(cell_of(act))
            if not is_seen:
                unseen.append(str(path))
        if not (takes or unseen):
            return None
        return Verdict(closes=1, takes=in_order(takes), unseen=tuple(unseen))

    def _acts(
        self, found: paths.Paths, demand: Demand, tried: Attempt, *, is_owners: bool
    ) -> list[Attempt]:
        """Acts that the policies of a repair let pass, of each caller, kind of row and action one;
        of updates also that of the column that a leak is about. If it does not say whose the row
        is, others may be meant to write themselves into it.
        """
        tables = {relation.oid for relation, _ in found.policies}
        altered, acts = demand.altered, dict[Hashable, Attempt]()
        for one in self._trials.before.cells.values():
            if not isinstance(one, Attempt) or one.relation.oid not in tables:
                continue
            is_altered = altered is None or (one.relation.oid, one.action) in altered
            if not is_altered or one.caller.kind == SERVICE or self._judge.leaves(one):
                continue
            key = one.caller.label, one.label, one.whose, one.action
            acts.setdefault(key, one)
            if demand.grants and one.action == UPDATE:
                same: Attempt | None = paths.of_column(one, tried)
                if same is not None and self._judge.moves(same):
                    keep = paths.unchanged if is_owners else paths.in_own_name
                    same = keep(one, tried.column)
                if same is not None:
                    acts.setdefault((*key, tried.column), same)
        return list(acts.values())[: LIMITS.attempts_in_batch]

    def _is_part_of_read(self, one: Attempt) -> bool:
        """Whether a row is a part of rows that its policies query, and that the caller reads: who
        reads these was to read it.
        """
        above, queried = self._judge.above(one), self._trials.queried(one.relation)
        return bool(above) and all(read.reached and read.relation.oid in queried for read in above)
