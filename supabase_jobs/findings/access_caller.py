"""The caller of an entry of a baseline, and whose rows the entry is about."""

from dataclasses import dataclass

OWN_ROWS, MEMBER_ROWS = "own rows", "rows of members"


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
