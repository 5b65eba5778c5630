"""The options of an audit. This module imports little, so that a command can start its server
first.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from supabase_jobs.audit.configuration import Configuration
from supabase_jobs.audit.limits import LIMITS

if TYPE_CHECKING:
    from supabase_jobs.audit.common import Common
    from supabase_jobs.audit.copied_texts import CopiedTexts
    from supabase_jobs.audit.evidence import Evidence
    from supabase_jobs.audit.repairs.changes import State
    from supabase_jobs.findings import Access
    from supabase_jobs.sources.revocations import Revocation

PARTS = 5  # of an audit, which `advance` counts


@dataclass(frozen=True)
class Options:
    """The scope of an audit. `served` are the schemas of the API; `schemas` and `tables` narrow it.

    `functions`: call the functions that requests can call. `accepted` is the access of the
    baseline, if there is one; what goes beyond it gets a cause. `intended` are the ids of the leaks
    that it accepts. `repairs`: try repairs of the leaks, or of those with these ids; without,
    findings have only the fixes that no trial proves. `known` are the ids of leaks that existed
    before. No repair of an intended or a known one is tried. `configuration` is that of audit.toml.
    `stable`: the generated values are the same in each run. `record` is called with the generated
    rows and what was tried on them, before they are rolled back. `common` is what the audit has in
    common with those that it is compared with; None for an audit of its own. `before` is the state
    before the changes that are tried first as causes. `repaired` are the ids of findings whose
    proven repairs are tried together, all if it is empty; None for no such trial. `partial`: a name
    that this database lacks may exist in one that it is compared with. `copied` has the words of a
    database with copied rows, and `hide` gets the values that were computed from them. `token_hook`
    is the schema and the name of the function that changes access tokens. `seconds` limits the
    probes. `revocations` are the privileges that the project's files revoke. `advance` gets the
    number of the part that begins, and of all: rows, tables, views and functions, topics, causes.
    `performance`: look for what makes requests slow, too.
    """

    served: Sequence[str] = ("public",)
    schemas: Sequence[str] = ()
    tables: Sequence[str] = ()
    functions: bool = True
    accepted: "Access | None" = None
    intended: Collection[str] = ()
    repairs: bool | Collection[str] = True
    known: Collection[str] = ()
    configuration: Configuration = field(default_factory=Configuration)
    stable: bool = False
    record: "Callable[[Evidence], None] | None" = None
    common: "Common | None" = None
    before: "State | None" = None
    partial: bool = False
    copied: "CopiedTexts | None" = None
    hide: Callable[[Iterable[str]], None] = lambda _texts: None
    repaired: Collection[str] | None = None
    token_hook: tuple[str, str] | None = None
    seconds: float = LIMITS.seconds
    revocations: "Sequence[Revocation]" = ()
    advance: Callable[[int, int], None] = lambda _number, _total: None
    performance: bool = False
