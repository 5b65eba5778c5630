"""Functions that change rows which the tables refuse to their caller."""

from collections.abc import Iterator
from dataclasses import replace

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, is_for_members, leak, refuses_insiders
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.audit.probes.attempt import DELETE, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-writes",
    order=510,
    severities=(Severity.ERROR, Severity.QUESTION),
    sentence="A function changes or deletes rows that the tables refuse to its caller.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function. Questions are numbers of rows that the caller may read, such as
    likes, functions that ask their caller, such as approvals, links of e-mails, what the caller
    pays for, such as a purchase, pairs of a row of the caller and one of another, such as a free
    hour for one's own dog, and rows of the caller that end below one of another.
    """
    known = {called.object for called in facts.calls if called.effects.changed}
    certain = {
        called.object
        for called in facts.calls
        if called.effects.changed and not called.given.is_pair
    }
    outside = [called for called in facts.calls if called.actor.is_outsider]
    open_to_outsiders = {called.object for called in outside if called.effects.changed}
    for called in asked(facts):
        is_asked = refuses_insiders(facts, called.object)
        if called.effects.changed and (is_asked or is_for_members(facts, called, (UPDATE, DELETE))):
            yield question(KIND, called, "change or delete rows of others by")
        elif called.effects.changed and called.function.changes.charges:
            yield question(KIND, called, "change rows of others, at their own expense, by")
        elif called.effects.changed and facts.are_found_by_id_only(called):
            does = "change or delete rows of nobody, with an id that only the staff can read, by"
            yield question(KIND, called, does)
        elif called.effects.changed and called.given.is_pair:
            if called.object not in certain:
                yield question(KIND, called, "change rows of others, with an id of their own, by")
        elif called.effects.changed:
            effect = "change or delete rows of others"
            yield leak(KIND, Severity.ERROR, called, effect, called.effects.changed)
        elif called.effects.below and called.object not in open_to_outsiders:
            found = question(KIND, called, "put rows of their own below rows of others by")
            yield replace(found, decides="rows of one's own")
        elif called.effects.recounted and called.object not in known:
            known.add(called.object)
            yield question(KIND, called, "change a number in rows of others by")
