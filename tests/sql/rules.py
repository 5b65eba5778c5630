"""A registry of rules: each has a check and the SQL that breaks it."""

from collections.abc import Callable
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection


@dataclass(frozen=True)
class Rule:
    """One rule: a check that raises AssertionError if it is broken, and SQL statements that break it."""

    name: str
    check: Callable[[Connection], None]
    broken_by: tuple[str, ...]


RULES: list[Rule] = []


def rule(*broken_by: str) -> Callable[[Callable[[Connection], None]], Callable[[Connection], None]]:
    """Register a check under its function's name."""

    def register(check: Callable[[Connection], None]) -> Callable[[Connection], None]:
        RULES.append(Rule(check.__name__, check, broken_by))
        return check

    return register
