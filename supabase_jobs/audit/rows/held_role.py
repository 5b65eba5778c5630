"""The role by which everybody reaches rows of others, as a value."""

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
