"""Rows of other users that only some outsiders read."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import ANON, NEWCOMER, STRANGER
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.attempts import only_anon, reads_of_others, shows_visitors
from supabase_jobs.audit.leaks.leak import Kind, Question, ShownLeak, question, shown, who_outside
from supabase_jobs.findings import Severity

KIND = Kind(
    code="read",
    order=20,
    severities=(Severity.ERROR, Severity.QUESTION),
    sentence="Some users read rows of others that not everybody reads.",
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each object; a question if the policy asks only who reads, such as subscribers:
    what all of them read, they may be meant to.
    """
    for group in facts.objects.values():
        table = group[0].table
        reads = reads_of_others(group)
        if not table.rows.owned or not reads:
            continue
        # who was a member is another leak, with a cause of its own
        first = next((read for read in reads if not read.actor.is_inactive), reads[0])
        message = f"{who_outside(first.actor)} read other users' {table.noun}"
        if shows_visitors(group):
            continue  # a public read
        if only_anon(group):
            yield shown(KIND, Severity.ERROR, first, f"{message}, which signed-in users cannot")
        elif first.actor.kind == STRANGER and first.actor.role in table.policies.of_callers:
            message = (
                f"{who_outside(first.actor)} read all rows of {{}}, whose policy asks only who they"
                " are. Is that intended?"
            )
            yield question(KIND, first, "who the caller is", table.label, message)
        elif first.actor.kind not in (ANON, NEWCOMER) and not first.actor.is_inactive:
            yield shown(KIND, Severity.ERROR, first, f"{message}, which others cannot")
