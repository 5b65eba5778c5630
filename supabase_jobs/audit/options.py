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
class Files:
    """The part of a project's files that an audit needs: its audit.toml, the schema and the name of
    the function that changes access tokens, and the privileges that the migrations revoke.
    """

    configuration: Configuration = field(default_factory=Configuration)
    token_hook: tuple[str, str] | None = None
    revocations: "Sequence[Revocation]" = ()


@dataclass(frozen=True)
class Comparison:
    """The other audit that an audit is compared with. `common` is what they have in common; None
    for an audit of its own. `before` is the state before the changes that are tried first as
    causes, and `known` are the ids of the leaks in it, of which no repair is tried. `partial`: a
    name that this database lacks may exist in the other one.
    """

    common: "Common | None" = None
    before: "State | None" = None
    known: Collection[str] = ()
    partial: bool = False


@dataclass(frozen=True)
class Options:
    """The scope of an audit. `served` are the schemas of the API; `schemas` and `tables` narrow it.

    `functions`: call the functions that requests can call. `accepted` is the access of the
    baseline, if there is one; what goes beyond it gets a cause. `intended` are the ids of the leaks
    that it accepts. `repairs`: try repairs of the leaks, or of those with these ids; without,
    findings have only the fixes that no trial proves. No repair of an intended one is tried.
    `files` are those of the project. `stable`: the generated values are the same in each run.
    `record` is called with the generated rows and what was tried on them, before they are rolled
    back. `comparison` is that with another audit. `repaired` are the ids of findings whose proven
    repairs are tried together, all if it is empty; None for no such trial. `copied` has the words
    of a database with copied rows, and `hide` gets the values that were computed from them.
    `seconds` limits the probes. `advance` gets the number of the part that begins, and of all:
    rows, tables, views and functions, topics, causes. `performance`: look for what makes requests
    slow, too.
    """

    served: Sequence[str] = ("public",)
    schemas: Sequence[str] = ()
    tables: Sequence[str] = ()
    functions: bool = True
    accepted: "Access | None" = None
    intended: Collection[str] = ()
    repairs: bool | Collection[str] = True
    files: Files = field(default_factory=Files)
    stable: bool = False
    record: "Callable[[Evidence], None] | None" = None
    comparison: Comparison = Comparison()
    copied: "CopiedTexts | None" = None
    hide: Callable[[Iterable[str]], None] = lambda _texts: None
    repaired: Collection[str] | None = None
    seconds: float = LIMITS.seconds
    advance: Callable[[int, int], None] = lambda _number, _total: None
    performance: bool = False
