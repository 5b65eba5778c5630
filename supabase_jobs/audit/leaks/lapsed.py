"""Rows and functions that somebody in a state that closes other tables still reaches."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts, Standing
from supabase_jobs.audit.leaks.leak import Kind, Question
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.probes.attempt import SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="lapsed",
    order=50,
    severities=(Severity.QUESTION,),
    sentence="Somebody in a state that closes some tables still reaches rows of others.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each state."""
    for standing in facts.standings:
        reached = [label for label in standing.open if not _is_told(facts, standing, label)]
        reached += dict.fromkeys(
            called.object
            for called in facts.calls_of_staff
            if called.actor.label == standing.label and _reaches(called)
            if not _is_open(facts, called.object)
        )
        who = f"Who is {standing.role or 'listed'} in {standing.table} with {standing.state}"
        message = f"{who}, which closes {some(standing.closed)}, still reaches {{}}. Intended?"
        written = [f"writes of {label}" for label in standing.written]
        for topic in (*reached, *written):
            yield Question(
                kind=KIND,
                severity=Severity.QUESTION,
                object=standing.table,
                message=message,
                decides=f"{standing.table}.{standing.state}",
                topics=(topic,),
            )


def _is_told(facts: Facts, standing: Standing, label: str) -> bool:
    """Whether a former member or an invited person reads the table, too: a leak of its own."""
    return any(
        t.action == SELECT and t.reached and t.actor.is_inactive
        for t in facts.of_table(label)
        if t.actor.membership is not None and t.actor.membership.table == standing.table
    )


def _reaches(called: Called) -> bool:
    """Whether a call reads or changes rows that the tables refuse to the caller."""
    return bool(called.said.shown or called.effects.changed)


def _is_open(facts: Facts, function: str) -> bool:
    """Whether outsiders reach as much by the function: a leak of its own."""
    return any(
        called.object == function and called.actor.is_outsider and _reaches(called)
        for called in facts.calls
    )
