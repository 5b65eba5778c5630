"""Functions that read a table for the callers of a policy, or with a secret, and leave out what the
policy asks for; or what they ask for themselves, of rows below the first ones. And functions that
act on a row without a condition of another function, or without looking at what they left in it.
"""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, TableColumn
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.policies.left_out import LeftOut
from supabase_jobs.audit.policies.siblings import Omission, Unasked
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-condition",
    order=610,
    severities=(Severity.QUESTION,),
    sentence="A function leaves out a condition that a policy or another function has.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each function and policy, and each function that acts on rows."""
    for one in facts.left_out:
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=one.function,
            message=f"{_sentence(one)} Is that intended?",
            decides=f"{one.function}:{one.policy or 'below'}",
            topics=(one.refusing or TableColumn(one.table, one.column),),
        )
    for left in facts.unasked:
        columns = [name for name in left.columns if not _is_told(facts, left, name)]
        if columns:
            yield Question(
                kind=KIND,
                severity=Severity.QUESTION,
                object=left.function,
                message=_message(left),
                decides=f"{left.function}:{left.table}:{left.what}",
                topics=tuple(TableColumn(left.table, name) for name in columns),
            )


def _is_told(facts: Facts, left: Unasked, column: str) -> bool:
    """Whether a call has shown that a function takes a row whatever a column says."""
    calls = [called for called in facts.calls if called.object == left.function]
    if any(called.numbers.repeated or called.numbers.added_again for called in calls):
        return True
    return any(called.ending.ended_column == f"{left.table}.{column}" for called in calls)


def _message(left: Unasked) -> str:
    function, places, values = left.function, some(left.places), ", ".join(left.values)
    match left.what:
        case Omission.STATE:
            what = f"acts on a row whatever {{}} says, which {places} tests. Is that intended?"
        case Omission.VALUES:
            what = f"refuses only {values} of {{}}, and {places} demands another. Is that intended?"
        case Omission.MARK:
            what = "sets {} and does not ask whether it is set: may it be called again?"
        case Omission.JOIN:
            what = "tests {} in a LEFT JOIN only, which leaves out no row. Is that intended?"
        case Omission.LIMIT:
            what = f"counts {{}}, and nothing compares it with {values}. Is there a limit?"
        case Omission.REST:
            what = "takes from {} and does not ask whether something is left. Is that intended?"
        case Omission.CALLER:
            what = (
                f"asks for its caller whatever {{}} says, which {places} tests. Is that intended?"
            )
        case Omission.WHOSE:
            what = f"demands a row of {left.table}, whoever is its {{}}. May it be anybody's?"
        case Omission.ROLE:
            what = f"lets whoever is {values} set {{}} of others to it. Is that intended?"
        case Omission.TIE:
            what = f"takes a row of {values} by an argument of its own, and does not compare {{}}."
            what += " Do the rows belong together?"
        case Omission.NOBODY:
            what = "asks nobody who calls it and adds rows with {} of the caller's choice, which no"
            what += " policy lets anybody add. Is that intended?"
        case Omission.DECISION:
            what = f"lets whoever is {values} of the row, and may add it, set {{}}, for which"
            what += f" {places} asks. Is that intended?"
        case Omission.PERSON:
            what = f"takes a row whoever is its {{}}, whom {places} refuses. Is that intended?"
        case Omission.ABOVE:
            what = f"writes rows of {values} whatever {{}} says, which {places} tests. Is that"
            what += " intended?"
        case Omission.PASSED:
            what = f"decides by its argument {values}, and not by {{}} of the row. May its caller"
            what += " say so?"
        case Omission.PRICE:
            what = f"takes {{}} of new rows from its caller, and does not look at {places}. Is that"
            what += " intended?"
        case Omission.ADDRESSEE:
            what = "does not look at {} of the row that it finds by a text. Is it for everybody who"
            what += " has the text?"
        case Omission.LINK:
            what = "demands a row of its caller whatever {} says, of which a policy demands a value"
            what += " in new rows. Is that intended?"
        case Omission.GROUP:
            what = f"asks for a row of its caller in {values}, and not whether it is of the {{}} of"
            what += " the row that it changes. Is that intended?"
        case Omission.GUARD:
            what = f"does not ask {values} about its caller, unlike {places}. Is that intended?"
    return f"{function} {what}"


def _sentence(one: LeftOut) -> str:
    if one.refusing:
        asks = f'policy "{one.policy}" looks for what refuses them'
        return f"{one.function} adds rows to {one.table} without asking for {{}}, in which {asks}."
    rows = "below the one whose secret it gets " if one.is_below else ""
    tests = f'policy "{one.policy}" tests' if one.policy else "it tests of the first rows only"
    return f"{one.function} reads rows of {one.table} {rows}without asking for {{}}, which {tests}."
