"""Use a candidate in other worlds: jobs have the states that its text names, or the other account
is another one.
"""

from collections.abc import Sequence
from pathlib import Path

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Severity
from supabase_jobs.verify.access.problem import Problem
from supabase_jobs.verify.access.reach import texts
from supabase_jobs.verify.access.reach.candidate import Candidate, Kind
from supabase_jobs.verify.access.reach.problems import Undisturbed, problem_of
from supabase_jobs.verify.access.reach.use import Use
from supabase_jobs.verify.access.reach.uses import uses_of
from supabase_jobs.verify.access.reach.values import ADDRESS
from supabase_jobs.verify.access.reach.world import World

_OTHER_ACCOUNT = sql_file(Path(__file__).with_name("other_account.sql"))
# what may depend on the state of a job
_IN_STATES = (Kind.FUNCTION, Kind.TABLE, Kind.KEPT)


def in_other_worlds(world: World, candidate: Candidate, uses: Sequence[Use]) -> Problem | None:
    """The first problem of a candidate in another world; `uses` are those in this one."""
    if candidate.kind not in _IN_STATES:
        return None
    found = set(texts.literals(candidate.text))
    for state in world.reach.states:
        if found.isdisjoint(texts.literals(state)):
            continue
        if (problem := _problem_after(world, candidate, world.statement(state))) is not None:
            return problem
    if candidate.kind is Kind.FUNCTION and texts.reads_accounts(candidate.text):
        return _with_another_account(world, candidate, uses)
    return None


def _problem_after(world: World, candidate: Candidate, before: Statement) -> Problem | None:
    again, nothing = _used(world, candidate, [before])
    return problem_of(world, again, Undisturbed.after(nothing))


def _with_another_account(
    world: World, candidate: Candidate, uses: Sequence[Use]
) -> Problem | None:
    """The problem of a function if nobody has confirmed the caller's address, and the other user
    has another address and was here at another time: answers to arguments do not tell that.
    """
    others, nothing = _used(world, candidate, [_OTHER_ACCOUNT.statement(world.other, world.own)])
    if (problem := problem_of(world, others, Undisturbed.after(nothing))) is not None:
        return problem
    if not candidate.types:
        return None
    same, _ = _used(world, candidate, [])
    answers = zip(uses, same, others, strict=True)
    # an answer with a time or a random value differs without it
    if any(one.answer == again.answer != other.answer for one, again, other in answers):
        return Problem(
            "tells something of an account: its answer depends on the address, the telephone number"
            " or the last sign-in of another user",
            severity=Severity.WARNING,
        )
    return None


def _used(world: World, candidate: Candidate, before: Sequence[Statement]) -> tuple[list[Use], Use]:
    """The uses of a candidate after these statements, and a use that only asks for the address."""
    uses = list(uses_of(world, candidate))
    nothing = world.use(None, "authenticated", [Statement(f"select {ADDRESS}")])
    world.run([nothing, *uses], before)
    return uses, nothing
