"""The kinds of suggestions, each a module."""

from supabase_jobs.audit.performance import (
    duplicate_indexes,
    foreign_keys,
    permissive_policies,
    policy_columns,
    primary_keys,
    row_calls,
    row_functions,
)
from supabase_jobs.audit.performance.context import Context
from supabase_jobs.audit.performance.suggestion import Suggestion

# in the order of reports; policies are joined after their calls are sub-selects
KINDS = (
    row_calls,
    row_functions,
    permissive_policies,
    foreign_keys,
    policy_columns,
    duplicate_indexes,
    primary_keys,
)


def find(context: Context) -> list[Suggestion]:
    """The suggestions for all tables; of those with the same rewrite, the first."""
    found: dict[object, Suggestion] = {}
    for kind in KINDS:
        for one in kind.find(context):
            found.setdefault(one.rewrite or one.id, one)
    return list(found.values())
