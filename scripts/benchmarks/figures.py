"""A measured number, what it must not go past, and whether it does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One row of the table. Without a limit it is only reported.

    `unit` is `ms`, `s`, `×`, `/s`, a noun, or `yes/no`, where 1 is yes. `least`: the limit is a lower one.
    `detail` is for the reader, in a few words; `also` are other numbers of the same measurement.
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
        """Whether it keeps its limit; None where it has none."""
        if self.limit is None:
            return None
        # as they are written down: a figure out of a file is judged as it was when it was measured
        value, limit = _rounded(self.value), _rounded(self.limit)
        return value >= limit if self.least else value <= limit

    def shown(self) -> str:
        """The value with its unit."""
        return _amount(self.value, self.unit)

    def wanted(self) -> str:
        """The limit in words; empty where there is none."""
        if self.limit is None:
            return ""
        if self.unit == "yes/no":
            return "yes"
        return f"{'at least' if self.least else 'at most'} {_amount(self.limit, self.unit)}"

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        made: dict[str, Any] = {"name": self.name, "value": _rounded(self.value), "unit": self.unit}
        if self.limit is not None:
            made |= {"limit": _rounded(self.limit), "at_least": self.least, "ok": self.ok}
        if self.detail:
            made["detail"] = self.detail
        if self.also:
            made["also"] = {name: _rounded(value) for name, value in self.also.items()}
        return made


def from_dict(made: Mapping[str, Any]) -> Figure:
    """A figure out of the JSON file."""
    least = made.get("at_least", False)
    detail, also = made.get("detail", ""), made.get("also")
    return Figure(made["name"], made["value"], made["unit"], made.get("limit"), least, detail, also)


def holds(name: str, true: bool, detail: str = "") -> Figure:
    """A figure that has to be yes."""
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
