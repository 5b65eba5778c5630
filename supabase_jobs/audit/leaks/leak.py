"""A leak, and the sentence about it: its caller and what the caller does."""

from dataclasses import dataclass, field

from supabase_jobs.audit.callers import (
    ANON,
    ANONYMOUS,
    CLAIM,
    DECLARED,
    FORGER,
    FORMER,
    MEMBER,
    NEWCOMER,
    STRANGER,
    Caller,
)
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE, Attempt
from supabase_jobs.audit.probes.run import Gain
from supabase_jobs.findings import Severity

_WHO = {
    ANON: "Anyone can",
    NEWCOMER: "Any signed-in user can",
    ANONYMOUS: "Anyone, after an anonymous sign-in, can",
    STRANGER: "A signed-in user with rows of their own can",
    FORMER: "A former member can",
    FORGER: "A signed-in user who changes their own user_metadata can",
}
# the callers from the most to the least general
_GENERAL = (ANON, NEWCOMER, STRANGER, ANONYMOUS, FORMER, FORGER, DECLARED, MEMBER)
DOES = {SELECT: "read", INSERT: "add", UPDATE: "change", DELETE: "delete"}


@dataclass(frozen=True, eq=False)
class Leak:
    """A leak before its cause is known. `attempt` shows it; `gains` are what an escalation opens."""

    kind: str
    severity: Severity
    relation: Relation
    action: str
    message: str
    attempt: Attempt
    gains: tuple[Gain, ...] = field(default=())

    @property
    def id(self) -> str:
        """The id of the finding: it contains no generated value."""
        column = (
            f":{self.attempt.column}"
            if self.kind in ("escalation", "privileged-column", "service-column", "give-away")
            and self.attempt.column
            else ""
        )
        return f"{self.kind}:{self.attempt.label}:{self.action}{column}"


def who(caller: Caller) -> str:
    """The caller as the subject of a sentence."""
    if caller.kind == MEMBER:
        linked = caller.user is not None and caller.user.link is not None
        return f"A {'user' if linked else 'member'} ({caller.label}) can"
    if caller.kind == CLAIM:
        return f"A {caller.label} can"
    if caller.kind == DECLARED:
        return f"The caller {caller.label} can"
    if caller.role == "anon" and caller.kind == FORGER:
        return f"Anyone who sends {caller.label.removeprefix('anon with ')} can"
    if caller.role == "anon" and caller.kind == FORMER:
        return f"{caller.label.replace('anon', 'Anyone', 1)} can"
    if caller.role == "anon" and caller.kind == STRANGER:
        return "A guest with an identity of their own can"
    return _WHO[caller.kind]


def noun(relation: Relation) -> str:
    """What the rows of a relation are to its users."""
    return "files" if relation.is_storage else "rows"


def rank(caller: Caller) -> int:
    """The lower, the more general a caller is."""
    return _GENERAL.index(caller.kind) if caller.kind in _GENERAL else len(_GENERAL)
