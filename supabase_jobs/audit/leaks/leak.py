"""A leak and its kind, and the words for who does what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple

from supabase_jobs.audit.callers import (
    ANON,
    ANONYMOUS,
    CLAIM,
    DECLARED,
    FORGER,
    FORMER,
    IMPOSTOR,
    INVITED,
    MEMBER,
    NEWCOMER,
    OWNER,
    SERVICE,
    STRANGER,
)
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.policies.refusals import Refusal
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE
from supabase_jobs.findings import AuditFinding, Explanation, Id, Severity, as_comment

_WHO = {
    ANON: "Anyone can",
    NEWCOMER: "Any signed-in user can",
    ANONYMOUS: "Anyone, after an anonymous sign-in, can",
    STRANGER: "A signed-in user with rows of their own can",
    FORMER: "A former member can",
    INVITED: "A person who has not accepted the invitation can",
    FORGER: "A signed-in user who changes their own user_metadata can",
    OWNER: "The owner can",
    SERVICE: "The backend (service_role) can",
}
DOES = {SELECT: "read", INSERT: "add", UPDATE: "change", DELETE: "delete"}


class Repair(Enum):
    """How the repair of a leak that an attempt has shown is derived from its policies."""

    RESTRICT = auto()  # limit them to the owner of a row
    ENABLE_ROW_SECURITY = auto()
    REFUSE = auto()  # refuse the row, or the DELETE, that opens something
    READABLE_PARENT = auto()  # demand that the caller reads the parent
    SOME_COLUMNS = auto()  # grant the columns that the app lets its users change
    OLD_ROW = auto()  # demand of the old row what the policy demands of the new one
    OTHER_COMMAND = auto()  # demand what a policy of another command demands
    ADVICE = auto()  # no trial shows for whom or which columns a privilege is meant


class Asks(Enum):
    """The columns of rows of one's own that the questions of a kind are about. Each column is in
    one question only, and in none if a leak tells it.
    """

    CHOSEN = auto()  # those that users choose, for each reason why they are free
    DECIDED = auto()  # those about which others may decide
    WHOLE_ROW = auto()  # all of a row


@dataclass(frozen=True)
class Kind:
    """A kind of leak: its code, the severities that it may have, and one sentence for users.

    Kinds are looked for by their `order`: of two leaks of one object, the repair of the lower one
    is written first. `from_catalogs`: the leak needs no row. `of_column`: the leak is one of a
    column, which its id names. If it is an update, it is closed once the role may not update the
    column. `opens`: the leak is what a write opens, so that it goes before another one of the same
    write. `of_adder`: it is about the person who adds a row, whatever others whom the row names can
    do. `asks`: what its questions are about; None if it is no column of one's own row.
    """

    code: str
    order: int
    severities: tuple[Severity, ...]
    sentence: str
    from_catalogs: bool = False
    of_column: bool = False
    opens: bool = False
    of_adder: bool = False
    asks: Asks | None = None
    repair: Repair = Repair.RESTRICT


# access beyond the baseline: the baseline judges it, and its cause is found as that of a leak
DEVIATION = Kind(
    code="deviation",
    order=0,
    severities=(Severity.INFO,),
    sentence="A caller may do more than the baseline has.",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Leak:
    """A leak. `object` is a table, bucket, view, function, schema or topic, as reports name it;
    `table` that of a bucket, of a topic or of rows in a state, '' for others. `action` is the one
    that it is about, '' if it is about none.
    """

    kind: Kind
    severity: Severity
    object: str
    message: str
    table: str = ""
    action: str = ""

    @property
    def label(self) -> str:
        """The object, or its table if it is only a part of one."""
        return self.table or self.object


@dataclass(frozen=True, eq=False, kw_only=True)
class ShownLeak(Leak):
    """A leak that an attempt shows. Its cause is found by trying without policies. `columns` are
    those of the table that it is about, if there are several, `further` others that the caller
    writes in the same row.
    """

    tried: Tried
    columns: Sequence[str] = ()
    further: Sequence[str] = ()

    @property
    def id(self) -> Id:
        """The id of the finding: it contains no generated value."""
        column = self.tried.column if self.kind.of_column else ""
        return Id(self.kind.code, self.object, self.tried.action, column)


@dataclass(frozen=True, eq=False, kw_only=True)
class PolicyLeak(Leak):
    """A leak that the policies show, by their names, for an action of a role."""

    action: str
    role: str
    policies: tuple[str, ...]

    @property
    def id(self) -> Id:
        """The id of the finding."""
        return Id(self.kind.code, self.object, self.action)


@dataclass(frozen=True, eq=False, kw_only=True)
class ExplainedLeak(Leak):
    """A leak whose cause and repair follow from the facts. `name` follows the code in its id.
    `of_owner`: it is also about what the owner of the rows does with them. `is_write`: it is about
    writing by a view, not about reading by it.
    """

    name: str
    explanation: Explanation
    of_owner: bool = False
    is_write: bool = False

    @property
    def id(self) -> Id:
        """The id of the finding."""
        return Id(self.kind.code, self.name)

    @property
    def finding(self) -> AuditFinding:
        """The leak as reports print it."""
        return AuditFinding(
            id=self.id,
            severity=self.severity,
            object=self.object,
            message=self.message,
            fix=self.explanation.fix,
            cause=self.explanation.cause,
            policies=self.explanation.policies,
            kind=self.kind.code,
            table=self.table,
            action=self.action,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class BrokenAccess(ExplainedLeak):
    """Access that policies permit and nobody has. Its repairs give something instead of closing
    it.
    """

    refusal: Refusal


class TableColumn(NamedTuple):
    """A column that a question names with its table."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


# an object that a question is about, a column of its own object, or one of any table
Topic = str | TableColumn


@dataclass(frozen=True, eq=False, kw_only=True)
class Question(Leak):
    """A decision of the project. `decides` is what decides it: questions of a kind with the same
    are one. `topics` are the objects that it is about, `tried` the attempts that lead to it.
    `of_all`: it is about the columns of all tables that no other question is about.

    `message` has `{}` where the topics are named.
    """

    decides: str
    topics: tuple[Topic, ...]
    tried: tuple[Tried, ...] = ()
    of_all: bool = False

    @property
    def id(self) -> Id:
        """The id of the finding."""
        return Id(self.kind.code, self.decides)

    @property
    def is_of_reason(self) -> bool:
        """Whether it is about one reason why columns are free, such as a trigger that forgets
        null.
        """
        is_of_some = self.decides != self.object and not self.of_all
        return self.kind.asks is Asks.CHOSEN and is_of_some

    @property
    def columns(self) -> list[TableColumn]:
        """Its topics as columns: those without a table are columns of its object."""
        topics = self.topics
        return [t if isinstance(t, TableColumn) else TableColumn(self.object, t) for t in topics]

    @property
    def finding(self) -> AuditFinding:
        """The question as reports print it."""
        return AuditFinding(
            id=self.id,
            severity=self.severity,
            object=self.object,
            message=self.message.replace("{}", ", ".join(map(str, self.topics))),
            fix="",
            cause="",
            kind=self.kind.code,
            table=self.table,
        )


AnyLeak = ShownLeak | PolicyLeak | ExplainedLeak | Question


def question(kind: Kind, tried: Tried, decides: str, topic: Topic, message: str) -> Question:
    """A question that an attempt leads to."""
    return Question(
        kind=kind,
        severity=Severity.QUESTION,
        object=tried.object,
        table=tried.table.label,
        message=message,
        decides=decides,
        topics=(topic,),
        tried=(tried,),
    )


def merged(one: Question, other: Question) -> Question:
    """Two questions of a kind about the same decision as one."""
    topics = tuple(dict.fromkeys([*one.topics, *other.topics]))
    return replace(one, topics=topics, tried=(*one.tried, *other.tried))


def shown(
    kind: Kind, severity: Severity, tried: Tried, message: str, columns: Sequence[str] = ()
) -> ShownLeak:
    """The leak that an attempt shows."""
    return ShownLeak(
        kind=kind,
        severity=severity,
        object=tried.object,
        table=tried.table.label,
        action=tried.action,
        message=message,
        tried=tried,
        columns=columns,
    )


def who(actor: Actor) -> str:
    """The caller as the subject of a sentence."""
    if actor.kind == MEMBER:
        return f"A {'user' if actor.is_linked else 'member'} ({actor.label}) can"
    if actor.kind == STRANGER and (actor.membership is not None or actor.is_elsewhere):
        return f"A member of another group ({actor.label}) can"
    if actor.kind == IMPOSTOR:
        return f"Anyone who signs up with {actor.bears} can"
    if actor.kind == CLAIM:
        return f"A {actor.label} can"
    if actor.kind == DECLARED:
        return f"The caller {actor.label} can"
    if actor.has_header_of_row:
        return f"A signed-in user who sends the {actor.bears} of another group can"
    if actor.role == "anon" and actor.kind == FORGER:
        return f"Anyone who sends {actor.bears} can"
    if actor.role == "anon" and actor.kind == FORMER:
        return f"Anyone with {actor.bears} can"
    if actor.role == "anon" and actor.kind == STRANGER:
        return "A guest with an identity of their own can"
    return _WHO[actor.kind]


def who_outside(actor: Actor) -> str:
    """The same of a caller who reaches rows of others from outside of their group."""
    if actor.kind == CLAIM and actor.is_elsewhere:
        return f"A {actor.label} of another group can"
    return who(actor)


def who_writes(tried: Tried) -> str:
    """The caller of a write of one's own row as the subject of a sentence: with the role that it
    takes.
    """
    role = tried.deciding.in_group
    return f"A member ({role}) can" if role else who(tried.actor)


def any_user(tried: Tried) -> str:
    """Every signed-in user as the subject of a sentence, if a write takes no role."""
    return who_writes(tried) if tried.deciding.in_group else "Any signed-in user can"


def without_ended(where: str, actor: Actor) -> str:
    """The repair of a policy, view or function that still counts what has ended, as a comment."""
    return as_comment(f"Let {where} {actor.remedy}")
