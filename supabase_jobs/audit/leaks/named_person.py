"""Rows of one's own that name another person, who may be an assignee, a receiver or a witness."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import NEWCOMER, SERVICE, STRANGER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, TableColumn, question
from supabase_jobs.audit.probes.attempt import BELOW, FORGE, INSERT, NAME, NONE, OTHER, OWN, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="named-person",
    order=240,
    severities=(Severity.QUESTION,),
    sentence="Users add rows that name another person.",
)


# what the question about the columns of all tables is about
_OF_ALL = "whose rows"


def find(facts: Facts) -> Iterator[Question]:
    """One question for each table, about all of its columns; none if the row may be forged. One
    about the columns of all tables that say whose a row is.
    """
    yield from _unbound(facts)
    for label, group in facts.objects.items():
        inserts = [t for t in group if t.action == INSERT and t.reached and not t.failed]
        if any(_is_forged(tried) for tried in inserts):
            continue
        for tried in inserts:
            named = _authors(tried)
            if tried.name == NAME:
                named = [tried.column] if facts.is_deciding(tried.table) else []
            for column in named:
                message = (
                    f"Any signed-in user can name any other person in {{}} of new rows in {label}."
                    " May they?"
                )
                yield question(KIND, tried, label, column, message)


def _unbound(facts: Facts) -> Iterator[Question]:
    """The columns by which policies know whose a row is, if one for writes leaves them free."""
    topics = list[TableColumn]()
    for label, table in facts.tables.items():
        for column, commands in table.decided.unbound.items():
            if any(_is_written(facts, label, column, command) for command in commands):
                topics.append(TableColumn(label, column))
    if topics:
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=topics[0].table,
            message=(
                "Users can name anybody in {} of new or changed rows, by which policies know whose"
                " a row is. May they?"
            ),
            decides=_OF_ALL,
            topics=tuple(topics),
            of_all=True,
        )


def _is_written(facts: Facts, label: str, column: str, command: str) -> bool:
    """Whether some user adds rows, none of which is forged, or changes the column of one. What
    nobody adds is not known.
    """
    writes = [t for t in facts.of_table(label) if t.actor.kind != SERVICE and t.action == command]
    reached = [t for t in writes if t.reached and not t.failed]
    if command == UPDATE:
        return any(t.column == column for t in reached)
    return not any(_is_forged(t) for t in reached)


def _is_forged(tried: Tried) -> bool:
    """Whether a row in another's name is a leak of its own."""
    return tried.name == FORGE or (tried.actor.is_outsider and tried.whose == OTHER)


def _authors(tried: Tried) -> Sequence[str]:
    """The columns of an author with another user, in a row of one's own or of nobody; if the"""
    is_own = tried.whose == OWN and tried.name == BELOW and tried.column in tried.written.names
    is_open = tried.whose == NONE and tried.name == "" and not tried.is_state
    is_user = tried.actor.kind in (NEWCOMER, STRANGER)
    return tried.written.names if is_user and (is_own or is_open) else ()
