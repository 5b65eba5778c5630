"""Functions that give what the row with a secret gives, such as an invitation, to somebody whom the
row does not name.
"""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-addressee",
    order=480,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function lets others use the secret of a row that names somebody by e-mail.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, if other code of the project asks for the address; otherwise a
    question.
    """
    known = set[str]()
    for called in asked(facts):
        if not called.bearer.addressee or called.object in known:
            continue
        known.add(called.object)
        if called.bearer.is_asked_elsewhere:
            effect = f"use it with a secret that is for somebody else: {called.bearer.addressee}"
            advice = f"Let {called.object} compare {called.bearer.addressee} with auth.email()."
            yield leak_of_function(KIND, Severity.WARNING, called, effect, advice)
        else:
            does = "use a secret that is for the person in the named column by"
            yield question(KIND, called, does, f"{called.object} ({called.bearer.addressee})")
