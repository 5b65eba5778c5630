"""The callers of an audit, as facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from supabase_jobs.audit.callers import FORMER, GENERAL, INVITED


@dataclass(frozen=True)
class Membership:
    """A member's role in a group, by a table of memberships; `strongest` is its first role.

    One who is `in_both` has the strongest role in the group of the other tenant, too.
    """

    table: str
    role: str | None
    strongest: str
    in_both: bool


@dataclass(frozen=True, eq=False)
class Actor:
    """A caller. `kind` and `label` are those of callers.Persona, `role` is the database role.

    `claim` is that of the JWT in which the caller has a value that policies know, ''.
    `link` is the table by which a user without a membership belongs to the owner's rows, or ''.
    `listing` is the table that lists the user's own group for a row of the owner, and `listed` that
    of the group; '' for others.
    `post` is the table of staff that has the user, '' for others.
    `is_elsewhere`: the role of the user counts in another group only. `bears`, `row_of` and
    `has_header_of_row` are those of callers.Persona; `held` has the values of the row of `row_of`.
    `is_made`: the user was made for an alternative of a policy, with the values that it asks for.
    `remedy` says which rows a policy must ignore to end the access of a former member, and `mark`
    is the column of the membership that says so; '' for others.
    """

    label: str
    kind: str
    role: str
    is_outsider: bool
    link: str
    membership: Membership | None
    remedy: str
    mark: str
    claim: str
    listing: str
    listed: str
    post: str
    is_elsewhere: bool = False
    bears: str = ""
    row_of: str = ""
    held: Mapping[str, str | None] = field(default_factory=dict)
    has_header_of_row: bool = False
    is_made: bool = False

    @property
    def is_linked(self) -> bool:
        """Whether the user belongs to the owner's rows by a column of a link."""
        return bool(self.link)

    @property
    def is_inactive(self) -> bool:
        """Whether the caller was a member of the group, or has not accepted the membership yet."""
        return self.kind in (FORMER, INVITED)

    @property
    def rank(self) -> int:
        """The lower, the more general the caller is."""
        return GENERAL.index(self.kind) if self.kind in GENERAL else len(GENERAL)
