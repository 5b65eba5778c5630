"""Private channels of Realtime that are open to callers who cannot read the row of the topic."""

from collections.abc import Iterable, Iterator, Mapping

from psycopg import sql

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.configuration import CHANNELS
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.channels import Channel, ChannelPolicy, ChannelTried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind, Question, who, without_ended
from supabase_jobs.audit.probes.attempt import GROUP, INSERT, JOIN, SELECT
from supabase_jobs.findings import Explanation, Severity
from supabase_jobs.outcomes import ROWS

KIND = Kind(
    code="topic",
    order=620,
    severities=(Severity.ERROR, Severity.WARNING, Severity.QUESTION),
    sentence=(
        "Users receive or send messages on the private channel of a row that they cannot read,"
        " or of another user."
    ),
)
_DOES = {SELECT: "receive messages", INSERT: "send messages"}
_TOPIC = sql.SQL("(select realtime.topic())")


def find(facts: Facts) -> Iterator[ExplainedLeak | Question]:
    """One leak for each topic and action: an error for the topic of a row, a warning for that of a
    user. A question about those who send on the topic of a row below which they add no rows.
    """
    leaks: dict[tuple[str, str], ChannelTried] = {}
    for tried in sorted(facts.channels, key=lambda t: t.actor.rank):
        is_open = tried.outcome == ROWS and tried.actor.is_outsider
        if is_open and (not tried.reads_row or _counts_what_has_ended(facts, tried)):
            leaks.setdefault((tried.channel.label, tried.action), tried)
    closed: dict[str, list[Channel]] = {}
    for tried in leaks.values():
        for policy in tried.policies:
            closed.setdefault(policy.name, []).append(tried.channel)
    for tried in leaks.values():
        yield _leak(tried, closed)
    yield from _of_readers(facts)


def _of_readers(facts: Facts) -> Iterator[Question]:
    """The members who only read the rows that others add below a row, such as the messages of a
    channel, and send on its topic.
    """
    for tried in facts.channels:
        is_sent = tried.action == INSERT and tried.outcome == ROWS
        if not is_sent or tried.actor.kind != MEMBER or not tried.channel.table:
            continue
        table = _written_below(facts, tried.channel.table)
        own = [] if table is None else facts.of_actor(table, tried.actor)
        reads = any(t.action == SELECT and t.whose == GROUP and t.reached for t in own)
        adds = [t.reached for t in own if _adds(t)]
        if reads and adds and not any(adds):
            message = (
                f"{who(tried.actor)} send messages on {{}}, but only read {table}, in which others"
                " add rows. Is that intended?"
            )
            yield Question(
                kind=KIND,
                severity=Severity.QUESTION,
                object=tried.channel.label,
                table=CHANNELS,
                message=message,
                decides=f"{tried.channel.table}:{table}",
                topics=(tried.channel.label,),
            )


def _written_below(facts: Facts, label: str) -> str | None:
    """The table to which the most members add rows below rows of a table."""
    counts: dict[str, int] = {}
    for table in facts.tables.values():
        if label in table.above.parents and table.label != label:
            adding = {t.actor for t in facts.of_table(table.label) if _adds(t) and t.reached}
            counts[table.label] = len(adding)
    most = max(counts, key=lambda name: counts[name], default=None)
    return most if most is not None and counts[most] else None


def _adds(tried: Tried) -> bool:
    is_row = tried.action == INSERT and tried.name in ("", JOIN)
    return is_row and tried.actor.kind == MEMBER


def _counts_what_has_ended(facts: Facts, tried: ChannelTried) -> bool:
    """Whether a former member or an invited person passes, and no other outsider, although all of
    them may read the row.
    """
    others = [t for t in facts.channels if t.channel == tried.channel and t.action == tried.action]
    others = [t for t in others if t.actor.is_outsider and not t.actor.is_inactive]
    return tried.actor.is_inactive and not any(t.outcome == ROWS for t in others)


def _leak(tried: ChannelTried, closed: Mapping[str, Iterable[Channel]]) -> ExplainedLeak:
    channel = tried.channel
    severity, whose = Severity.WARNING, "another user"
    if channel.table and tried.reads_row:
        whose = f"a row of {channel.table}"
    elif channel.table:
        severity, whose = Severity.ERROR, f"the row of {channel.table}, which they cannot read"
    cause = ", ".join(f'policy "{policy.name}"' for policy in tried.policies)
    if tried.actor.remedy:  # the others keep their access
        fix = without_ended(cause, tried.actor)
    else:
        fix = " ".join(_restricted(p, dict.fromkeys(closed[p.name])) for p in tried.policies)
    return ExplainedLeak(
        kind=KIND,
        severity=severity,
        object=channel.label,
        table=CHANNELS,
        message=f"{who(tried.actor)} {_DOES[tried.action]} on the topic of {whose}",
        name=f"{channel.label}:{tried.action}",
        action=tried.action,
        explanation=Explanation(
            cause=cause, fix=fix, policies=tuple(p.name for p in tried.policies)
        ),
    )


def _restricted(policy: ChannelPolicy, channels: Iterable[Channel]) -> str:
    """Limit a policy: of the topics that begin alike, to those of rows that the caller can read,
    and of the caller.
    """
    by_prefix: dict[str, list[str]] = {}
    for channel in channels:
        by_prefix.setdefault(channel.prefix, []).append(channel.own)
    name = sql.Identifier(policy.name)
    if "" in by_prefix and len(by_prefix) > 1:  # every topic begins with nothing
        drop = sql.SQL("drop policy if exists {} on realtime.messages;")
        return drop.format(name).as_string(None)
    limits = [_limit(prefix, " or ".join(own)) for prefix, own in by_prefix.items()]
    clauses = []
    for word, text in (("using", policy.visible), ("with check", policy.checked)):
        if text is not None:
            condition = sql.SQL(" and ").join([sql.SQL(f"({text})"), *limits])
            clauses.append(sql.SQL("{} ({})").format(sql.SQL(word), condition))
    alter = sql.SQL("alter policy {} on realtime.messages {};")
    return alter.format(name, sql.SQL(" ").join(clauses)).as_string(None)


def _limit(prefix: str, own: str) -> sql.Composable:
    """The condition on topics that begin with a prefix; on all topics if it is empty."""
    if not prefix:
        return sql.SQL("({})").format(sql.SQL(own))
    return sql.SQL("(not starts_with({}, {}) or {})").format(
        _TOPIC, sql.Literal(prefix), sql.SQL(own)
    )
