"""Functions that return rows which the tables refuse to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.catalog import USERS
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, is_for_members, leak, refuses_insiders
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.audit.probes.attempt import SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-reads",
    order=450,
    severities=(Severity.ERROR, Severity.WARNING, Severity.QUESTION),
    sentence="A function returns rows that the tables refuse to its caller.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function; a question about those that ask which member calls them, and
    about those that are the only way to rows without addresses or secrets.
    """
    public: set[str] = set()
    for called in asked(facts):
        if not called.said.shown or called.object in public:
            continue
        is_own_way = not _reads_directly(facts, called)
        is_asked = refuses_insiders(facts, called.object, is_read=is_own_way)
        if is_asked or is_for_members(facts, called, (SELECT,)):
            yield question(KIND, called, "read rows of others by")
        elif _is_only_way(facts, called):
            public.add(called.object)
            yield question(KIND, called, "read rows of others by")
        else:
            severity = _severity(facts, called)
            yield leak(KIND, severity, called, "read rows of others", called.said.shown)


def _reads_directly(facts: Facts, called: Called) -> bool:
    """Whether the caller reads rows of others in these tables anyway, and the function shows it
    more of them.
    """
    return any(facts.reads_others_in(label, called.actor) for label in called.said.shown)


def _is_only_way(facts: Facts, called: Called) -> bool:
    """Whether nobody reads the rows in their tables, and the function asks nobody who calls it and
    shows no address or secret of them, as that of a catalog for everybody.
    """
    is_guarded = called.function.guard.asks or called.given.by_null or called.actor.remedy
    if is_guarded or USERS in called.said.shown or not facts.only_shown(called.said.shown):
        return False
    whole = [name for label in called.said.shown for name in facts.tables[label].columns]
    names = whole if called.function.result.returns is None else called.function.result.returns
    return not any(facts.words.is_sensitive(name) for name in names)


def _severity(facts: Facts, called: Called) -> Severity:
    """A warning for aggregates, and for some columns of all rows, without addresses or secrets, as
    for a view.
    """
    if USERS in called.said.shown:
        # a group may show its members the addresses of the others
        is_of_group = list(called.said.shown) == [USERS] and called.actor.kind == MEMBER
        return Severity.WARNING if is_of_group else Severity.ERROR
    names = called.function.result.returns or ()
    is_sensitive = any(facts.words.is_sensitive(name) for name in names)
    if called.function.result.is_aggregate and not is_sensitive:
        return Severity.WARNING
    if called.function.result.returns is None or not called.given.is_general:
        return Severity.ERROR
    columns = set(called.function.result.returns)
    is_whole = any(facts.tables[label].columns.keys() <= columns for label in called.said.shown)
    return Severity.ERROR if is_sensitive or is_whole else Severity.WARNING
