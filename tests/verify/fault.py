"""A fault to plant in a database, with the words by which an error has to name it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """SQL that breaks something, the words by which an error has to name it, and the area that has to see it."""

    name: str
    sql: str
    named: str
    areas: frozenset[str]


def fault(name: str, sql: str, named: str, *areas: str) -> Fault:
    return Fault(name, sql, named, frozenset(areas))
