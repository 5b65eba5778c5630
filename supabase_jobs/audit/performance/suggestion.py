"""A suggestion: what makes statements slow, and the SQL that was tried against it."""

from dataclasses import dataclass
from enum import Enum

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.probes.known import Altered
from supabase_jobs.findings import Id, Severity

FAMILY = "performance"


class Effect(Enum):
    """The effect of a rewrite on plans."""

    BETTER = "better"
    EQUAL = "equal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False, kw_only=True)
class Suggestion:
    """Something of a table that costs time. `name` tells it from others of its kind.

    `rewrite` are the statements against it, () if none is known; `gain` says what they improve, or
    why no plan shows it. `policies` are those that it is about, and `altered` the actions whose
    policies the rewrite changes.
    """

    kind: str
    severity: Severity
    relation: Relation
    name: str
    message: str
    cause: str
    gain: str
    rewrite: tuple[str, ...] = ()
    effect: Effect = Effect.UNKNOWN
    policies: tuple[Policy, ...] = ()
    altered: frozenset[Altered] = frozenset()

    @property
    def id(self) -> Id:
        """The id of the finding."""
        return Id(FAMILY, self.kind, self.relation.label, self.name)
