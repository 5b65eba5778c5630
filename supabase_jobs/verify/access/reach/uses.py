"""The uses of a candidate, by what it is."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from supabase_jobs.verify.access.reach.calls import calls, computed
from supabase_jobs.verify.access.reach.candidate import Candidate, Kind
from supabase_jobs.verify.access.reach.reads import public_messages, reads
from supabase_jobs.verify.access.reach.runs import runs
from supabase_jobs.verify.access.reach.sign_ups import sign_ups, states
from supabase_jobs.verify.access.reach.use import Act, Use
from supabase_jobs.verify.access.reach.world import World
from supabase_jobs.verify.access.reach.writes import changes_of_kept, deletes_of_parent, writes

# what one caller does with it
_BY_ANY: Mapping[Kind, Callable[[World, Candidate], Iterable[Act]]] = {
    Kind.FUNCTION: calls,
    Kind.TABLE: writes,
    Kind.KEPT: changes_of_kept,
    Kind.JOB: runs,
    Kind.COMPUTED_COLUMN: computed,
    Kind.MESSAGES: public_messages,
    Kind.SIGN_UP: sign_ups,
    Kind.STATE: states,
}
# what each of its callers does with it
_BY_EACH: Mapping[Kind, Callable[[World, Candidate, str], Iterable[Act]]] = {
    Kind.RELATION: reads,
    Kind.PARENT: deletes_of_parent,
}


def uses_of(world: World, candidate: Candidate) -> Iterator[Use]:
    """Each use of a candidate, in an order in which each follows its control."""
    if candidate.kind in _BY_EACH:
        for role in candidate.callers:
            acts = _BY_EACH[candidate.kind](world, candidate, role)
            yield from _uses(world, candidate, role, acts)
        return
    acts = _BY_ANY[candidate.kind](world, candidate)
    yield from _uses(world, candidate, candidate.callers[0], acts)


def _uses(world: World, candidate: Candidate, role: str, acts: Iterable[Act]) -> Iterator[Use]:
    control = None
    for act in acts:
        use = world.use(candidate, role, act.statements)
        use.control, use.is_control = control, act.is_control
        control = use if act.is_control else control
        yield use
