"""Which repairs are written together, and which of several takes less; without a database."""

from collections.abc import Collection
from typing import Any

import pytest

from supabase_jobs.audit.repairs.demand import Demand, Script
from supabase_jobs.audit.repairs.proofs import Proofs
from supabase_jobs.audit.repairs.verdict import NamedCell, Proven, Verdict
from supabase_jobs.session.deadline import Deadline, DeadlineError


class Judge:
    """Finds that a cell is lost if both repairs of a pair are there."""

    gives = False

    def __init__(self, pairs: Collection[str]) -> None:
        self._pairs = pairs

    def verdict(self, before: object, after: Any, is_open: bool, **_others: object) -> Verdict:
        """The number of repairs, and what is lost."""
        lost = tuple(NamedCell(pair, "") for pair in self._pairs if set(pair) <= set(after))
        return Verdict(closes=len(after), takes=lost, is_open=is_open)


class Trials:
    """Shows the statements themselves; the time is over after a number of trials."""

    def __init__(self, trials: int) -> None:
        self._left = trials

    def everything(self, *, is_by_policy: bool) -> None:
        """No objects: nothing is tried."""

    def extend(self, deadline: Deadline) -> None:
        """There is no time, only a number of trials."""

    def seen_before(self, scope: object) -> None:
        """Nothing: the judge looks at the statements."""

    def run(self, text: str, scope: object, writes: object) -> list[str]:
        """The statements."""
        if not self._left:
            raise DeadlineError
        self._left -= 1
        return text.split()


@pytest.mark.parametrize(
    ("names", "pairs", "trials", "kept"),
    [
        ("abc", [], 9, "abc"),
        ("abc", ["bc"], 9, "ab"),  # one of two, so the later one
        ("abc", ["ab", "ac"], 9, "bc"),  # what conflicts with all others
        ("abcd", ["ab", "cd"], 9, "ac"),
        ("abcd", ["ab", "cd"], 6, "a"),  # what was tried in time
        ("abc", ["bc"], 1, ""),
        ("a", [], 9, "a"),
        ("", [], 9, ""),
    ],
)
def test_the_largest_set_without_a_conflict_is_kept(
    names: str, pairs: list[str], trials: int, kept: str
) -> None:
    found = {
        name: Proven("", is_proven=True, demand=Demand(script=Script(text=name))) for name in names
    }
    tried: Any = Trials(trials)
    judge: Any = Judge(pairs)
    proofs = Proofs(tried, judge, lambda _chosen, demand: demand.script.text)
    made = proofs.together(found, Deadline(0))
    assert "".join(repair.sql for repair in made.repairs) == kept
    assert made.closes == len(kept)


LOST = NamedCell("owner", "select of public.notes")


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (Verdict(closes=1), Verdict(closes=9, unseen=("a policy",))),
        (Verdict(closes=1, leaves=("May they?",)), Verdict(closes=1, unseen=("a policy",))),
        (Verdict(closes=1, alters=(LOST,)), Verdict(closes=1, takes=(LOST,))),
        # a view that is revoked from everybody
        (Verdict(closes=1, unseen=("a policy",)), Verdict(closes=1, ends=("select of public.v",))),
        (Verdict(closes=1, takes=(LOST,)), Verdict(closes=1, ends=("select of public.v",))),
    ],
)
def test_what_takes_less_is_printed(less: Verdict, more: Verdict) -> None:
    assert less.loss < more.loss
