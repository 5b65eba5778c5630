"""Private channels of Realtime: which callers may receive and send on the topics of tenant A's
rows.

Realtime asks the policies of realtime.messages: with the topic in the setting `realtime.topic`, it
reads a message of the topic to let a client receive, and inserts one to let it send.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar, LiteralString

from psycopg import sql

from supabase_jobs.audit.callers import LAPSED, MEMBER, OWNER, SERVICE, Persona
from supabase_jobs.audit.configuration import CHANNELS
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import parse_trees
from supabase_jobs.audit.probes.attempt import INSERT, OTHER, OWN, SELECT
from supabase_jobs.audit.probes.exclusions import Exclusion
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.findings import AccessObject, NotTested, RowState
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session import script
from supabase_jobs.session.action import Action
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import (
    SET,
    Impersonation,
    own_role,
)
from supabase_jobs.session.outcome import outcome_of_group
from supabase_jobs.session.runner import Runner, probes_of

# in which Realtime passes the topic to the policies
SETTING = "realtime.topic"
_EXTENSIONS = ("broadcast", "presence")
_MESSAGES = sql.SQL("realtime.messages")
_SEPARATORS = ":-_/."
_DOES = {SELECT: "receive", INSERT: "send"}


@dataclass(frozen=True)
class Message(Action):
    """A message of a topic, by one of the extensions of Realtime."""

    topic: str
    extension: str
    text: ClassVar[LiteralString]

    def query(self) -> sql.Composable:
        """The statement by which Realtime asks the policies."""
        return sql.SQL(self.text).format(sql.Literal(self.topic), sql.Literal(self.extension))


@dataclass(frozen=True)
class Receive(Message):
    """Read a message, as Realtime does to let a client receive."""

    kind = SELECT
    method = ""  # clients connect by a socket
    text = "select 1 from realtime.messages where topic = {} and extension = {}"


@dataclass(frozen=True)
class Send(Message):
    """Insert a message, as Realtime does to let a client send."""

    kind = INSERT
    method = ""
    text = (
        "insert into realtime.messages (topic, extension, event, private)"
        " values ({}, {}, 'audit', true)"
    )


@dataclass(frozen=True)
class Topic:
    """A topic: the text before an id, and the id; `row` is tenant A's row that has it, None for a
    user.
    """

    prefix: str
    id: str
    row: Row | None

    @property
    def name(self) -> str:
        """The topic of a request."""
        return f"{self.prefix}{self.id}"

    @property
    def shown(self) -> str:
        """The topic without generated values."""
        of = "user id" if self.row is None else f"{self.row.relation.name}.{self.row.key[0]}"
        return f"{self.prefix}{{{of}}}"

    @property
    def label(self) -> str:
        """The object in reports."""
        return str(self.target)

    @property
    def target(self) -> AccessObject:
        """The object: the messages of the topic."""
        return AccessObject(CHANNELS, RowState.remark(self.shown))


@dataclass(eq=False)
class TopicAttempt:
    """A caller receives (select) or sends (insert) on a topic, by one of the extensions of
    Realtime, after statements of the owner that are `prepared`.
    """

    caller: Persona
    topic: Topic
    action: str
    extension: str
    outcome: str = ""
    prepared: Sequence[Statement] = ()

    @property
    def label(self) -> str:
        """The topic, as reports name it."""
        return self.topic.label

    @property
    def target(self) -> AccessObject:
        """The topic."""
        return self.topic.target

    @property
    def whose(self) -> str:
        """The owner of the topic, seen by the caller."""
        return OWN if self.caller.kind in (OWNER, MEMBER) else OTHER

    @property
    def detail(self) -> str:
        """The extension."""
        return self.extension

    @property
    def does(self) -> str:
        """The action, and the extension."""
        return f"{self.action} {self.extension}"

    @property
    def sent(self) -> Message:
        """The action by which Realtime asks the policies."""
        kind = Receive if self.action == SELECT else Send
        return kind(_MESSAGES, self.topic.name, self.extension)

    @property
    def statements(self) -> list[Statement]:
        """The topic, and the action."""
        become = [Statement(SET, ("role", self.caller.role))] if self.prepared else []
        topic = Statement(SET, (SETTING, self.topic.name))
        return [*self.prepared, *become, topic, self.sent.statement]

    def read(self, result: GroupResult) -> None:
        """Read the outcome."""
        self.outcome = outcome_of_group(result)

    def script(self) -> str:
        """The statements for psql by which Realtime asks the policies."""
        topic = script.setting({SETTING: self.topic.name})
        return topic + self.sent.script

    def request(self, default_schema: str) -> None:  # noqa: ARG002  as of other attempts
        """No request: clients connect by a socket."""
        return


def message(topic: Topic, extension: str) -> Send:
    """The action that inserts a message of a topic."""
    return Send(_MESSAGES, topic.name, extension)


def run(
    impersonation: Impersonation, deadline: Deadline, world: World, callers: Sequence[Persona]
) -> tuple[list[TopicAttempt], list[NotTested]]:
    """Probe the topics; nothing if realtime.messages has no policies. The caller rolls back. Raises
    DeadlineError.
    """
    if not world.plan.catalog.topic_policies:
        return [], []
    topics = list(dict.fromkeys(_topics(world)))[: LIMITS.topics]
    clients = [c for c in callers if c.kind not in (LAPSED, SERVICE) and not c.operation]
    tried = product(clients, topics, (SELECT, INSERT), _EXTENSIONS)
    attempts = [
        TopicAttempt(caller=caller, topic=topic, action=action, extension=extension)
        for caller, topic, action, extension in tried
    ]
    messages = [message(*sent).statement for sent in product(topics, _EXTENSIONS)]
    [result] = run_groups(impersonation.connection, [messages])
    if result.error is not None:
        why = f"no message could be inserted: {sqlstate_and_message(result.error)}"
        help_ = "Connect as a role that may insert into realtime.messages, such as postgres."
        return [], [NotTested(CHANNELS, why, help_)]
    Runner(impersonation, deadline).run(probes_of(attempts, len(attempts)))
    used = {a.topic for a in attempts if a.outcome == ROWS}
    return [a for a in attempts if a.topic in used], []


def run_excluded(
    impersonation: Impersonation,
    deadline: Deadline,
    attempts: Sequence[TopicAttempt],
    exclusions: Sequence[Exclusion],
) -> None:
    """Note the topics of rows that an exclusion is about and on which callers still receive or send
    whom a row excludes. Raises DeadlineError.
    """
    again = []
    for one, attempt in product(exclusions, attempts):
        row, changes = attempt.topic.row, {id(c): change for c, change in one.changes}
        is_about = row is not None and row.relation.oid in one.tables
        is_about &= attempt.outcome == ROWS and (one.is_read or attempt.action == INSERT)
        if is_about and id(attempt.caller) in changes:
            before = [own_role(impersonation), changes[id(attempt.caller)]]
            again.append((one, replace(attempt, prepared=before, outcome="")))
    if again:
        Runner(impersonation, deadline).run(probes_of([a for _, a in again], len(again)))
    for one, attempt in again:
        act = f"{_DOES[attempt.action]} on {attempt.label}"
        if attempt.outcome == ROWS and act not in one.open:
            one.open.append(act)


def _topics(world: World) -> Iterator[Topic]:
    """The id of tenant A's owner and of its rows that the policies read, after each prefix that
    they mention.
    """
    catalog = world.plan.catalog
    texts = [t for p in catalog.topic_policies for t in (p.visible, p.checked) if t is not None]
    words = set(re.findall(r"\w+", " ".join(texts)))
    called = [f for f in catalog.functions if f.name in words]
    words |= {word for f in called for word in re.findall(r"\w+", f.body)}
    trees = [parse_trees.expression_tree(text) for text in texts]
    trees += [tree for f in called for tree in parse_trees.body_trees(f.language, f.body)]
    literals = {literal for tree in trees for literal in parse_trees.literals(tree)}
    prefixes = ["", *_prefixes(literals)]
    rows = [
        row
        for row in world.a.rows.values()
        if len(row.key) == 1 and row.values[row.key[0]] is not None
    ]
    for prefix in prefixes:
        named = [row for row in rows if _is_named(row, prefix)]
        for row in named or [row for row in rows if row.relation.name in words]:
            yield Topic(prefix, row.values[row.key[0]] or "", row)
        if not named:
            yield Topic(prefix, world.a.owner.id, None)


def _is_named(row: Row, prefix: str) -> bool:
    """Whether a prefix such as `room:` names the table of a row."""
    name = prefix.rstrip(_SEPARATORS)
    return name != "" and row.relation.name in (
        name,
        f"{name}s",
        f"{name}es",
        f"{name.removesuffix('y')}ies",
    )


def _prefixes(literals: set[str]) -> list[str]:
    """Beginnings of topics: constants that end with a separator, and words before each separator
    among them.
    """
    plain = sorted({literal.rstrip("%") for literal in literals} - {""})
    separators = [literal for literal in plain if literal in _SEPARATORS] or [":"]
    found = [p for p in plain if len(p) > 1 and p[-1] in _SEPARATORS]
    found += [
        f"{p}{s}"
        for p in plain
        if re.fullmatch(r"[a-z][\w-]*", p) and p not in _EXTENSIONS
        for s in separators
    ]
    return list(dict.fromkeys(found))
