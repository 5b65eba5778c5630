"""Outcomes that an audit or a trial has seen, and their cells."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from supabase_jobs.audit import access
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind, Question
from supabase_jobs.audit.probes.attempt import Attempt
from supabase_jobs.audit.probes.bypass import Bypass, ViewRead
from supabase_jobs.audit.probes.escalation import Gain
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.findings import Access


@dataclass(frozen=True)
class Use:
    """The benefit of a call of a function: a mark of a row of the caller's tenant that it shows, or
    a change of such a row; '' if it succeeds. `is_answer`: it is all that the call answers.
    """

    caller: str
    function: str
    call: str
    given: str = ""
    is_change: bool = False
    is_answer: bool = False


@dataclass(frozen=True)
class Scope:
    """The relations and functions whose cells a change can touch."""

    relations: Sequence[Relation]
    functions: Sequence[Function]

    @cached_property
    def names(self) -> frozenset[str]:
        """The relations and functions, as findings name them."""
        relations = {relation.label for relation in self.relations}
        return frozenset(relations | {function.signature for function in self.functions})

    def has(self, leak: AnyLeak) -> bool:
        """Whether a leak is about one of these, or about rows of it in a state."""
        return leak.label in self.names


@dataclass(frozen=True, eq=False)
class Seen:
    """The attempts of callers, and their outcomes. `plan` has the catalogs of that time.

    `uses` are the calls of functions by which owners, members and the service get what is theirs.
    `find` tells the leaks, for those who ask: with all questions, which take as long, or without;
    `of_kind` those of one kind, with some that another one tells better.
    """

    plan: Plan
    find: Callable[[bool], Sequence[AnyLeak]]
    of_kind: Callable[[Kind], Sequence[AnyLeak]]
    attempts: Sequence[Attempt] = ()
    gains: Sequence[Gain] = ()
    bypasses: Sequence[Bypass] = ()
    uses: frozenset[Use] = frozenset()

    @cached_property
    def leaks(self) -> Sequence[AnyLeak]:
        """The leaks that the attempts show; of a trial, not those that are only ever questions."""
        return self.find(False)

    @property
    def questions(self) -> list[Question]:
        """The questions that the attempts lead to."""
        return [leak for leak in self.find(True) if isinstance(leak, Question)]

    @cached_property
    def faults(self) -> Mapping[str, AnyLeak]:
        """The leaks that are errors and warnings, by their ids."""
        return {leak.id: leak for leak in self.leaks if leak.severity.is_problem}

    @cached_property
    def granted(self) -> Access:
        """Object → caller → permissions, as a baseline records them."""
        return access.access(self.attempts, self.bypasses)

    @cached_property
    def cells(self) -> Mapping[Hashable, Attempt | Bypass]:
        """The attempts that reached their target; the keys are equal in another trial."""
        found: dict[Hashable, Attempt | Bypass] = {}
        for attempt in self.attempts:
            if attempt.reached:
                found.setdefault(key_of(attempt), attempt)
        for bypass in self.bypasses:
            if bypass.outcome == "rows":
                found.setdefault(key_of(bypass), bypass)
        return found

    @cached_property
    def places(self) -> frozenset[Hashable]:
        """The rows, views and functions that each caller reached, by action; also views that show
        the caller rows without a mark.
        """
        found = {place_of(one) for one in self.cells.values()}
        reads = [one for one in self.bypasses if isinstance(one, ViewRead)]
        return frozenset(found | {place_of(one) for one in reads if one.has_rows})

    def within(self, scope: Scope) -> "Seen":
        """The part about these objects."""
        return replace(
            self,
            attempts=[a for a in self.attempts if a.relation in scope.relations],
            gains=[g for g in self.gains if g.write.relation in scope.relations],
            bypasses=[b for b in self.bypasses if b.label in scope.names],
            find=lambda asks: [leak for leak in self.find(asks) if scope.has(leak)],
            of_kind=lambda kind: [leak for leak in self.of_kind(kind) if scope.has(leak)],
        )


def key_of(tried: Attempt | Bypass) -> Hashable:
    """The cell of an attempt on a row, or of an action on a view or function."""
    if isinstance(tried, Bypass):
        return tried.caller.label, tried.label, tried.action
    return (
        tried.caller.label,
        tried.label,
        id(tried.row),
        tried.whose,
        tried.action,
        tried.name,
        tried.column,
        tried.value,
    )


def place_of(tried: Attempt | Bypass) -> Hashable:
    """The row, view or function of an attempt, and its action, whatever it writes."""
    if isinstance(tried, Bypass):
        return key_of(tried)
    return tried.caller.label, tried.label, id(tried.row), tried.action
