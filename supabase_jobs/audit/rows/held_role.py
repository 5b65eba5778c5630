"""The roles by which somebody reaches rows of others, as values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeldRole:
    """A value in the row that each user has in a table; without a column, the row itself."""

    table: str
    column: str = ""
    value: str = ""

    @property
    def place(self) -> str:
        """The table and the column."""
        return f"{self.table}.{self.column}"

    def __str__(self) -> str:
        return f"{self.place} = {self.value}" if self.column else f"a row in {self.table}"


@dataclass(frozen=True)
class DecidingRoles:
    """The roles without which an action is refused: the one that each user has `everywhere`, such
    as `profiles.role = staff`, or the post; and the one `in_group`, such as `manager of members`.
    """

    everywhere: HeldRole | None = None
    in_group: str = ""


NO_ROLES = DecidingRoles()
