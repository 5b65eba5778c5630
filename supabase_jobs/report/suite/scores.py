"""Scores by table and by kind, and the sentences that the formats share."""

from collections.abc import Callable
from dataclasses import dataclass

from supabase_jobs.findings import SuiteMutant, SuiteMutation
from supabase_jobs.report.wording import counted


@dataclass(frozen=True)
class Score:
    """The killed mutants of a group, of those that count."""

    name: str
    killed: int
    total: int

    @property
    def percent(self) -> str:
        """`83 %`, rounded down, so that only a complete score is 100 %; `-` if nothing counts."""
        return f"{100 * self.killed // self.total} %" if self.total else "-"


def total(result: SuiteMutation) -> Score:
    """The score of all mutants."""
    return Score("all", len(result.of("killed")), len(result.scored))


def by_object(result: SuiteMutation) -> list[Score]:
    """A score for each table, view and function; the lowest first."""
    return sorted(
        _grouped(result, lambda m: m.object.removeprefix("public.")),
        key=lambda s: (s.killed / s.total, s.name),
    )


def by_kind(result: SuiteMutation) -> list[Score]:
    """A score for each kind."""
    return _grouped(result, lambda m: m.kind)


def _grouped(result: SuiteMutation, key: Callable[[SuiteMutant], str]) -> list[Score]:
    groups: dict[str, list[SuiteMutant]] = {}
    for mutant in result.scored:
        groups.setdefault(key(mutant), []).append(mutant)
    return [
        Score(name, sum(m.state == "killed" for m in group), len(group))
        for name, group in groups.items()
    ]


def counts(result: SuiteMutation) -> str:
    """The number of mutants in each state, and how many did not run."""
    parts = [
        counted(len(result.mutants), "mutant"),
        f"{len(result.of('killed'))} killed",
        f"{len(result.of('survived'))} survived",
        f"{len(result.of('equivalent'))} equivalent",
    ]
    if untested := len(result.of("untested")):
        parts.append(f"{untested} cannot be tested")
    if rejected := len(result.of("rejected")):
        parts.append(f"{rejected} rejected by the database")
    if missing := result.selected - len(result.mutants):
        parts.append(f"{missing} not run")
    text = ", ".join(parts)
    if result.seed is not None and result.selected < result.derived:
        text += f"; a sample of {result.derived} (--seed {result.seed})"
    return text


def verdict(result: SuiteMutation) -> str:
    """`ok`, `FAILED` if a mutant survived or no fault was injected, or `INTERRUPTED`."""
    if result.ok:
        return "ok"
    return "FAILED" if result.survivors or result.is_complete else "INTERRUPTED"
