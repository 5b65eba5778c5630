"""Private channels of Realtime that are open to callers who cannot read the row whose id the topic has."""

from collections.abc import Iterator, Sequence
from functools import partial

from psycopg import sql

from supabase_jobs.audit.callers import MEMBER, OWNER
from supabase_jobs.audit.catalog import Policy
from supabase_jobs.audit.oracles.ended import missing_condition
from supabase_jobs.audit.oracles.leak import rank, who
from supabase_jobs.audit.probes import repeat
from supabase_jobs.audit.probes.attempt import INSERT, OTHER, OWN, SELECT, Attempt
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES
from supabase_jobs.findings import AuditCell, AuditFinding, Severity

_COMMANDS = {SELECT: "r", INSERT: "a"}
_DOES = {SELECT: "receive messages", INSERT: "send messages"}
_WORDS = {SELECT: "read", INSERT: "insert"}


def find(
    topics: Sequence[TopicAttempt], attempts: Sequence[Attempt], policies: Sequence[Policy]
) -> Iterator[AuditFinding]:
    """One finding for each topic and action: an error for the topic of a row, a warning for that of a user."""
    readable = {(id(a.caller), id(a.row)) for a in attempts if a.action == SELECT and a.reached}
    found = set()
    for attempt in sorted(topics, key=lambda t: rank(t.caller)):
        topic, key = attempt.topic, (attempt.topic.label, attempt.action)
        if attempt.outcome != "rows" or not attempt.caller.is_outsider or key in found:
            continue
        if topic.row is not None and (id(attempt.caller), id(topic.row)) in readable:
            continue
        found.add(key)
        severity = Severity.ERROR if topic.row is not None else Severity.WARNING
        what = f"the row of {topic.row.relation.label}, which they cannot read" if topic.row else "another user"
        message = f"{who(attempt.caller)} {_DOES[attempt.action]} on the topic of {what}"
        command = _COMMANDS[attempt.action]
        open_ = [
            p for p in policies
            if p.permissive and p.applies_to(attempt.caller.role) and p.command in ("*", command)
        ]  # fmt: skip
        cause = ", ".join(f'policy "{p.name}"' for p in open_)
        drop = sql.SQL("drop policy if exists {} on realtime.messages;")
        fix = " ".join(drop.format(sql.Identifier(p.name)).as_string(None) for p in open_)
        if (mark := attempt.caller.ended) is not None:  # the others keep their access
            fix = missing_condition(cause, mark)
        yield AuditFinding(f"topic:{topic.label}:{attempt.action}", severity, topic.label, message, fix, cause)


def access(topics: Sequence[TopicAttempt]) -> dict[str, dict[str, str]]:
    """Topic → caller → actions, as a baseline records them."""
    found: dict[str, dict[str, set[str]]] = {}
    for attempt in topics:
        words = found.setdefault(attempt.topic.label, {}).setdefault(attempt.caller.label, set())
        if attempt.outcome == "rows":
            words.add(_WORDS[attempt.action])
    return {
        topic: {caller: " ".join(sorted(words, reverse=True)) or "none" for caller, words in callers.items()}
        for topic, callers in found.items()
    }


def tested(topics: Sequence[TopicAttempt]) -> dict[tuple[str, str], frozenset[str]]:
    """(topic, caller) → the actions without an inconclusive attempt."""
    found: dict[tuple[str, str], set[str]] = {}
    for attempt in topics:
        found.setdefault((attempt.topic.label, attempt.caller.label), set()).add(_WORDS[attempt.action])
    for attempt in topics:
        if attempt.outcome in INCONCLUSIVE_SQLSTATES:
            found[attempt.topic.label, attempt.caller.label].discard(_WORDS[attempt.action])
    return {key: frozenset(words) for key, words in found.items()}


def cell(attempt: TopicAttempt) -> AuditCell:
    """The cell of the matrix."""
    whose = OWN if attempt.caller.kind in (OWNER, MEMBER) else OTHER
    action = f"{attempt.action} {attempt.extension}"
    sql_ = partial(repeat.topic_sql, attempt)
    return AuditCell(attempt.topic.label, attempt.caller.label, whose, action, attempt.outcome, sql_)
