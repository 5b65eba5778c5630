"""A measured number with its limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One row of the table. Without a limit it is only reported.

    `unit` is `ms`, `s`, `×`, `/s`, a noun, or `yes/no` (1 is yes). With `least` the limit is a
    minimum. `detail` is a short text for readers; `also` holds other numbers of the same
    measurement.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    least: bool = False
    detail: str = ""
    also: Mapping[str, float] | None = None

    @property
    def ok(self) -> bool | None:
        """Whether the value is within the limit; None without a limit."""
        if self.limit is None:
            return None
        # rounded as in the JSON file, so that a figure from the file gets the same result
        value, limit = _rounded(self.value), _rounded(self.limit)
        return value >= limit if self.least else value <= limit

    def shown(self) -> str:
        """The value with its unit."""
        return _amount(self.value, self.unit)

    def limit_text(self) -> str:
        """The limit in words; empty without a limit."""
        if self.limit is None:
            return ""
        if self.unit == "yes/no":
            return "yes"
        return f"{'at least' if self.least else 'at most'} {_amount(self.limit, self.unit)}"

    def as_dict(self) -> dict[str, Any]:
        """The object in the JSON file."""
        document: dict[str, Any] = {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
        }
        if self.limit is not None:
            document |= {"limit": _rounded(self.limit), "at_least": self.least, "ok": self.ok}
        if self.detail:
            document["detail"] = self.detail
        if self.also:
            document["also"] = {name: _rounded(value) for name, value in self.also.items()}
        return document


def from_dict(document: Mapping[str, Any]) -> Figure:
    """A figure from the JSON file."""
    least = document.get("at_least", False)
    detail, also = document.get("detail", ""), document.get("also")
    return Figure(
        document["name"],
        document["value"],
        document["unit"],
        document.get("limit"),
        least,
        detail,
        also,
    )


def holds(name: str, true: bool, detail: str = "") -> Figure:
    """A figure that must be yes."""
    return Figure(name, float(true), "yes/no", 1, least=True, detail=detail)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 1000 else round(value)


def _amount(value: float, unit: str) -> str:
    if unit == "yes/no":
        return "yes" if value else "no"
    if unit == "×":
        return f"{value:.2f}×"
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    number = f"{value:,.{digits}f}"
    return f"{number}{unit}" if unit.startswith("/") else f"{number} {unit}"
