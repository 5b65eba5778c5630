"""Who may do what with which object, as a baseline records it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from supabase_jobs.findings.permission import Permission, Permissions
from supabase_jobs.findings.row_state import RowState

OWN_ROWS, MEMBER_ROWS = "own rows", "rows of members"
# without an account: "anon", "anon with a header", "anonymous sign-in"
_ANONYMOUS = ("anon", "anonymous")


@dataclass(frozen=True)
class AccessCaller:
    """A label of a caller; `rows` is '' for rows of others, and for the owner's own."""

    label: str
    rows: str = ""

    @classmethod
    def parse(cls, text: str) -> "AccessCaller":
        """The caller that a baseline names."""
        for rows in (OWN_ROWS, MEMBER_ROWS):
            if text.endswith(f", {rows}"):
                return cls(text.removesuffix(f", {rows}"), rows)
        return cls(text)

    def __str__(self) -> str:
        return f"{self.label}, {self.rows}" if self.rows else self.label

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller has no account."""
        return self.label.partition(" ")[0] in _ANONYMOUS

    @property
    def table(self) -> str:
        """The table that gives the caller its role, as in "editor of members"; '' if none does."""
        return self.label.partition(" of ")[2]


@dataclass(frozen=True, eq=False)
class AccessObject:
    """A table, view or topic by its label, or the rows of a table in a state.

    Two objects are the same if they are printed alike: a baseline has only the words.
    """

    label: str
    state: RowState | None = None

    @classmethod
    def parse(cls, text: str) -> "AccessObject":
        """The object that a baseline names, such as `public.posts (published = true)`."""
        label, is_state, state = text.removesuffix(")").partition(" (")
        return cls(label, RowState.parse(state)) if is_state else cls(text)

    def __str__(self) -> str:
        return self.label if self.state is None else f"{self.label} ({self.state})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccessObject) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Cell(NamedTuple):
    """A permission of a caller on an object."""

    object: AccessObject
    caller: AccessCaller
    permission: Permission

    def __str__(self) -> str:
        return f"{self.object}:{self.caller}:{self.permission}"


# object → caller → what it may do
Access = Mapping[AccessObject, Mapping[AccessCaller, Permissions]]
