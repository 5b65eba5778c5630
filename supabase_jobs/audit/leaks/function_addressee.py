"""Functions that give what the row with a secret gives, such as an invitation, to somebody whom the
row does not name.
"""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-addressee",
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function lets others use the secret of a row that names somebody by e-mail.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, if other code of the project asks for the address; otherwise a
    question.
    """
    known = set[str]()
    for called in asked(facts):
        if not called.addressee or called.function in known:
            continue
        known.add(called.function)
        if called.is_asked_elsewhere:
            effect = f"use it with a secret that is for somebody else: {called.addressee}"
            advice = f"Let {called.function} compare {called.addressee} with auth.email()."
            yield leak_of_function(KIND, Severity.WARNING, called, effect, advice)
        else:
            does = "use a secret that is for the person in the named column by"
            yield question(KIND, called, does, f"{called.function} ({called.addressee})")
