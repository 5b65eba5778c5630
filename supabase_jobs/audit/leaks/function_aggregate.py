"""Functions with numbers that are computed from rows which the tables refuse to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import ABOUT_KNOWN, is_about_known, question, saying
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-aggregate",
    order=490,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence=(
        "A function returns numbers that are computed from rows which the tables refuse to its"
        " caller."
    ),
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function; a question about those that go with a row which the caller knows.
    A member may know the numbers of its group.
    """
    calls = asked(facts)
    for called in saying(calls, "derived"):
        if called.actor.is_outsider and is_about_known(facts, called):
            yield question(KIND, called, ABOUT_KNOWN, "", "about what they know")
        elif called.actor.is_outsider:
            effect = "read numbers that are computed from rows of others"
            yield leak(KIND, Severity.WARNING, called, effect, called.said.derived)
