"""Scores of mutation: how many faults of a group were detected."""

from collections.abc import Sequence
from dataclasses import dataclass

from supabase_jobs.report.document import Column, Table
from supabase_jobs.report.printable import line


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


def score_table(title: str, heading: str, scores: Sequence[Score]) -> Table:
    """A row for each score."""
    columns = (
        Column(title, heading),
        Column("killed", "Killed", is_number=True),
        Column("mutants", "Mutants", is_number=True),
        Column("score", "Score", is_number=True),
    )
    width = max((len(line(score.name)) for score in scores), default=0)
    return Table(
        title=heading,
        columns=columns,
        rows=tuple((s.name, str(s.killed), str(s.total), s.percent) for s in scores),
        lines=tuple(
            f"{line(s.name):<{width}}  {s.killed:>4} of {s.total:>4} killed  {s.percent:>5}"
            for s in scores
        ),
    )
