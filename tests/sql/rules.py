"""A registry of rules: each has a check and names the faults that break it."""

from collections.abc import Callable
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection


@dataclass(frozen=True)
class Rule:
    """One rule: a check that raises AssertionError if it is broken, and the names of the faults
    that break it.
    """

    name: str
    check: Callable[[Connection], None]
    faults: tuple[str, ...]


RULES: list[Rule] = []


def rule(*faults: str) -> Callable[[Callable[[Connection], None]], Callable[[Connection], None]]:
    """Register a check under its function's name."""

    def register(check: Callable[[Connection], None]) -> Callable[[Connection], None]:
        RULES.append(Rule(check.__name__, check, faults))
        return check

    return register
