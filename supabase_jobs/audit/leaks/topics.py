"""Private channels of Realtime that are open to callers who cannot read the row whose id the topic
has.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from psycopg import sql

from supabase_jobs.audit.callers import MEMBER, OWNER
from supabase_jobs.audit.catalog import Policy
from supabase_jobs.audit.ended import missing_condition
from supabase_jobs.audit.leaks.leak import rank, who
from supabase_jobs.audit.probes import repeat
from supabase_jobs.audit.probes.attempt import INSERT, OTHER, OWN, SELECT, Attempt
from supabase_jobs.audit.probes.topics import Topic, TopicAttempt
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES
from supabase_jobs.findings import AuditCell, AuditFinding, Severity

_COMMANDS = {SELECT: "r", INSERT: "a"}
_DOES = {SELECT: "receive messages", INSERT: "send messages"}
_WORDS = {SELECT: "read", INSERT: "insert"}


def find(
    topics: Sequence[TopicAttempt], attempts: Sequence[Attempt], policies: Sequence[Policy]
) -> Iterator[AuditFinding]:
    """One finding for each topic and action: an error for the topic of a row, a warning for that of
    a user.
    """
    readable = {(id(a.caller), id(a.row)) for a in attempts if a.action == SELECT and a.reached}
    leaks: dict[tuple[str, str], TopicAttempt] = {}
    for attempt in sorted(topics, key=lambda t: rank(t.caller)):
        known = (
            attempt.topic.row is not None
            and (id(attempt.caller), id(attempt.topic.row)) in readable
        )
        if attempt.outcome == "rows" and attempt.caller.is_outsider and not known:
            leaks.setdefault((attempt.topic.label, attempt.action), attempt)
    closed: dict[str, list[Topic]] = {}
    for attempt in leaks.values():
        for policy in _applicable(policies, attempt):
            closed.setdefault(policy.name, []).append(attempt.topic)
    for attempt in leaks.values():
        topic = attempt.topic
        severity = Severity.ERROR if topic.row is not None else Severity.WARNING
        what = (
            f"the row of {topic.row.relation.label}, which they cannot read"
            if topic.row
            else "another user"
        )
        message = f"{who(attempt.caller)} {_DOES[attempt.action]} on the topic of {what}"
        open_ = _applicable(policies, attempt)
        cause = ", ".join(f'policy "{p.name}"' for p in open_)
        fix = " ".join(_restricted(p, dict.fromkeys(closed[p.name])) for p in open_)
        if (mark := attempt.caller.ended) is not None:  # the others keep their access
            fix = missing_condition(cause, mark)
        yield AuditFinding(
            id=f"topic:{topic.label}:{attempt.action}",
            severity=severity,
            object=topic.label,
            message=message,
            fix=fix,
            cause=cause,
            policies=tuple(p.name for p in open_),
        )


def _applicable(policies: Sequence[Policy], attempt: TopicAttempt) -> list[Policy]:
    """The permissive policies that may have let an attempt pass."""
    commands = ("*", _COMMANDS[attempt.action])
    return [
        p
        for p in policies
        if p.permissive and p.applies_to(attempt.caller.role) and p.command in commands
    ]


def _restricted(policy: Policy, topics: Iterable[Topic]) -> str:
    """Limit a policy: of the topics that begin alike, to those of rows that the caller can read,
    and of the caller.
    """
    by_prefix: dict[str, list[sql.Composable]] = {}
    for topic in topics:
        by_prefix.setdefault(topic.prefix, []).append(_of_caller(topic))
    if "" in by_prefix and len(by_prefix) > 1:  # every topic begins with nothing
        return (
            sql.SQL("drop policy if exists {} on realtime.messages;")
            .format(sql.Identifier(policy.name))
            .as_string(None)
        )
    others = sql.SQL("(not starts_with((select realtime.topic()), {}) or {})")
    limits = [
        others.format(sql.Literal(prefix), sql.SQL(" or ").join(own))
        if prefix
        else sql.SQL("({})").format(sql.SQL(" or ").join(own))
        for prefix, own in by_prefix.items()
    ]
    clauses = [
        sql.SQL("{} ({})").format(
            sql.SQL(word), sql.SQL(" and ").join([sql.SQL(f"({text})"), *limits])
        )
        for word, text in (("using", policy.visible), ("with check", policy.checked))
        if text is not None
    ]
    alter = sql.SQL("alter policy {} on realtime.messages {};")
    return alter.format(sql.Identifier(policy.name), sql.SQL(" ").join(clauses)).as_string(None)


def _of_caller(topic: Topic) -> sql.Composable:
    """Whether the topic is that of a row that the caller can read, or of the caller."""
    prefix = sql.Literal(topic.prefix)
    if topic.row is None:
        return sql.SQL("(select realtime.topic()) = {} || (select auth.uid())::text").format(prefix)
    exists = sql.SQL(
        "exists (select 1 from {} as named where {} || named.{}::text = (select realtime.topic()))"
    )
    return exists.format(topic.row.relation.identifier, prefix, sql.Identifier(topic.row.key[0]))


def access(topics: Sequence[TopicAttempt]) -> dict[str, dict[str, str]]:
    """Topic → caller → actions, as a baseline records them."""
    found: dict[str, dict[str, set[str]]] = {}
    for attempt in topics:
        words = found.setdefault(attempt.topic.label, {}).setdefault(attempt.caller.label, set())
        if attempt.outcome == "rows":
            words.add(_WORDS[attempt.action])
    return {
        topic: {
            caller: " ".join(sorted(words, reverse=True)) or "none"
            for caller, words in callers.items()
        }
        for topic, callers in found.items()
    }


def tested(topics: Sequence[TopicAttempt]) -> dict[tuple[str, str], frozenset[str]]:
    """(topic, caller) → the actions without an inconclusive attempt."""
    found: dict[tuple[str, str], set[str]] = {}
    for attempt in topics:
        found.setdefault((attempt.topic.label, attempt.caller.label), set()).add(
            _WORDS[attempt.action]
        )
    for attempt in topics:
        if attempt.outcome in INCONCLUSIVE_SQLSTATES:
            found[attempt.topic.label, attempt.caller.label].discard(_WORDS[attempt.action])
    return {key: frozenset(words) for key, words in found.items()}


def cell(attempt: TopicAttempt) -> AuditCell:
    """The cell of the matrix."""
    whose = OWN if attempt.caller.kind in (OWNER, MEMBER) else OTHER
    action = f"{attempt.action} {attempt.extension}"
    sql_ = partial(repeat.topic_sql, attempt)
    return AuditCell(
        attempt.topic.label, attempt.caller.label, whose, action, attempt.outcome, sql_
    )
