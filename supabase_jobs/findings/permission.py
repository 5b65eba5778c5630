"""Permissions of a caller as values, and the words in which a baseline records them."""

import re
from collections.abc import Collection
from dataclasses import dataclass

NONE = "none"
# the kinds of permissions on rows, in the order of their words
_KINDS = ("read", "insert", "update", "delete", "join", "forge")
# `read`, or `update(title, status=paid)`, as baselines have it: files that users edit
_GROUP = re.compile(r"(\w+)(?:\(([^)]*)\))?")


@dataclass(frozen=True)
class Permission:
    """A kind of action: on whole rows, on one column, or with one value in it."""

    kind: str
    column: str = ""
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind}({self.detail})" if self.column else self.kind

    @property
    def detail(self) -> str:
        """The column, with the value in it; '' for whole rows."""
        return f"{self.column}={self.value}" if self.value else self.column

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


# what a caller may do with an object; each column, or value of one, is a permission of its own
Permissions = frozenset[Permission]


def parse(words: str) -> Permissions:
    """`read update(a,b=x)`, as a user may write it in a baseline, as values."""
    found = set()
    for kind, text in _GROUP.findall(words):
        details = [detail.strip() for detail in text.split(",") if detail]
        if not details and kind != NONE:
            found.add(Permission(kind))
        for detail in details:
            column, _, value = detail.partition("=")
            found.add(Permission(kind, column, value))
    return frozenset(found)


def grouped(some: Collection[Permission]) -> dict[str, list[str]]:
    """The kinds of permissions in the order of their words, each with its columns or
    `column=value`.
    """
    found: dict[str, list[str]] = {}
    for one in sorted(some, key=_position):
        found.setdefault(one.kind, []).extend([one.detail] if one.column else [])
    return found


def printed(some: Collection[Permission]) -> str:
    """Permissions in the words of a baseline."""
    words = [
        f"{kind}({','.join(details)})" if details else kind
        for kind, details in grouped(some).items()
    ]
    return " ".join(words) or NONE


def beyond(some: Collection[Permission], others: Collection[Permission]) -> list[Permission]:
    """The permissions that the others do not include, in the order of their words."""
    return sorted((one for one in some if not one.is_included(others)), key=str)


def _position(one: Permission) -> tuple[int, str, str]:
    place = _KINDS.index(one.kind) if one.kind in _KINDS else len(_KINDS)
    return place, one.kind, one.detail
