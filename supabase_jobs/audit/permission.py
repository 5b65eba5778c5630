"""Permissions of a caller as values, and the words of a baseline."""

import re
from collections.abc import Collection
from dataclasses import dataclass

NONE = "none"
# `read`, or `update(title, status=paid)`
_GROUP = re.compile(r"(\w+)(?:\(([^)]*)\))?")


@dataclass(frozen=True)
class Permission:
    """A kind of action: on whole rows, on one column, or with one value in it."""

    kind: str
    column: str = ""
    value: str = ""

    def __str__(self) -> str:
        if not self.column:
            return self.kind
        return f"{self.kind}({self.column}{f'={self.value}' if self.value else ''})"

    def is_included(self, others: Collection["Permission"]) -> bool:
        """Whether one of the others allows it: every column, or every value of its column."""
        wider = (Permission(self.kind), Permission(self.kind, self.column))
        return self in others or any(one in others for one in wider)

    def parts(self, others: Collection["Permission"]) -> list["Permission"]:
        """Those of the others that allow some columns or values of it, in the order of their
        words.
        """
        if self.value:
            return []
        found = [
            one
            for one in others
            if one.kind == self.kind
            and (one.value and one.column == self.column if self.column else one.column)
        ]
        return sorted(found, key=str)


def grouped(words: str | None) -> list[tuple[str, list[str]]]:
    """The kinds of actions in the words of a baseline, each with its columns or `column=value`."""
    found = []
    for kind, details in _GROUP.findall(words or NONE):
        if kind != NONE or details:
            found.append((kind, [detail.strip() for detail in details.split(",") if detail]))
    return found


def permissions(words: str | None) -> frozenset[Permission]:
    """`read update(a,b=x)` as values: each column, or value of one, is a permission of its own."""
    found = set()
    for kind, details in grouped(words):
        if not details:
            found.add(Permission(kind))
        for detail in details:
            column, _, value = detail.partition("=")
            found.add(Permission(kind, column, value))
    return frozenset(found)


def beyond(some: Collection[Permission], others: Collection[Permission]) -> list[Permission]:
    """The permissions that the others do not include, in the order of their words."""
    return sorted((one for one in some if not one.is_included(others)), key=str)
