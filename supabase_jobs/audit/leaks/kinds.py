"""The leaks among the facts: every kind, each leak once."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from supabase_jobs.audit.leaks import (
    added_member,
    broken_access,
    error_text,
    escalation,
    forged,
    forged_claim,
    former,
    function_aggregate,
    function_exists,
    function_forges,
    function_guard,
    function_ids,
    function_opens,
    function_reads,
    function_sql,
    function_writes,
    give_away,
    given_row,
    named_person,
    open_policy,
    privileged_column,
    public,
    public_bucket,
    read,
    rls_disabled,
    secret_column,
    sequence,
    service_column,
    shared_role,
    shared_write,
    topic,
    truncate,
    two_groups,
    unreadable_parent,
    upload,
    vault_secret,
    view,
    view_aggregate,
    view_exists,
    view_ids,
    write,
)
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind, Question, ShownLeak, merged


class Module(Protocol):
    """A module of a kind of leak."""

    KIND: Kind

    def find(self, facts: Facts) -> Iterable[AnyLeak]:
        """The leaks of the kind; the most general caller first, for each id."""


# the modules; of two leaks of one object, the repair of the first is written first
MODULES: Sequence[Module] = (
    rls_disabled,
    read,
    public,
    former,
    secret_column,
    error_text,
    write,
    shared_write,
    shared_role,
    forged,
    upload,
    unreadable_parent,
    added_member,
    named_person,
    forged_claim,
    privileged_column,
    give_away,
    service_column,
    given_row,
    two_groups,
    escalation,
    open_policy,
    view,
    view_ids,
    view_aggregate,
    view_exists,
    vault_secret,
    function_sql,
    function_reads,
    function_ids,
    function_aggregate,
    function_exists,
    function_writes,
    function_forges,
    function_guard,
    function_opens,
    topic,
    public_bucket,
    broken_access,
    truncate,
    sequence,
)


# the beginnings of ids of leaks that need no row, so that an audit without a row has them too
FROM_CATALOGS = (f"{rls_disabled.KIND.code}:", f"{open_policy.KIND.code}:")


def find(facts: Facts) -> list[AnyLeak]:
    """The leaks, at most one for each id, that of the most general caller.

    A state of a row has no leak of its own if the table has the same one.
    """
    found: dict[str, AnyLeak] = {}
    for module in MODULES:
        for leak in module.find(facts):
            known = found.setdefault(leak.id, leak)
            if isinstance(known, Question) and isinstance(leak, Question):
                found[leak.id] = merged(known, leak)
    of_tables = {
        (leak.kind.code, leak.tried.table.label, leak.tried.action)
        for leak in found.values()
        if isinstance(leak, ShownLeak) and not leak.tried.is_state
    }
    return [leak for leak in found.values() if not _is_known(leak, of_tables)]


def _is_known(leak: AnyLeak, of_tables: set[tuple[str, str, str]]) -> bool:
    if not isinstance(leak, ShownLeak) or not leak.tried.is_state:
        return False
    return (leak.kind.code, leak.tried.table.label, leak.tried.action) in of_tables
