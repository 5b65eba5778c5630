"""The leaks among the facts: every kind, each leak once."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

from supabase_jobs.audit import leaks
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import (
    AnyLeak,
    Asks,
    Kind,
    Question,
    ShownLeak,
    TableColumn,
    merged,
)
from supabase_jobs.audit.probes.attempt import INSERT, OTHER, OWN, UPDATE
from supabase_jobs.findings import Severity


class Module(Protocol):
    """A module of a kind of leak."""

    KIND: Kind

    def find(self, facts: Facts) -> Iterable[AnyLeak]:
        """The leaks of the kind; the most general caller first, for each id."""


def _modules() -> list[Module]:
    """The modules of this folder that define a kind, by its order."""
    names = [module.name for module in iter_modules(leaks.__path__, f"{leaks.__name__}.")]
    loaded = [import_module(name) for name in names]
    found = [cast(Module, module) for module in loaded if hasattr(module, "KIND")]
    return sorted(found, key=lambda module: module.KIND.order)


MODULES: Sequence[Module] = _modules()

# the codes of leaks that need no row, so that an audit without a row has them too
FROM_CATALOGS = frozenset(module.KIND.code for module in MODULES if module.KIND.from_catalogs)


# those that may be more than a question or an info
_PROBLEMS = {severity for severity in Severity if severity.is_problem}
_OF_PROBLEMS: Sequence[Module] = [m for m in MODULES if _PROBLEMS.intersection(m.KIND.severities)]


def find(facts: Facts, *, with_questions: bool = True) -> list[AnyLeak]:
    """The leaks, at most one for each id, that of the most general caller. Without questions, the
    kinds that are never an error or a warning are left out.

    A state of a row has no leak of its own if the table has the same one, or a state with fewer
    conditions; and of leaks that the same write of a column shows, there is only the gravest.
    """
    found: dict[str, AnyLeak] = {}
    for module in MODULES if with_questions else _OF_PROBLEMS:
        for leak in module.find(facts):
            known = found.setdefault(leak.id, leak)
            if isinstance(known, Question) and isinstance(leak, Question):
                found[leak.id] = merged(known, leak)
    of_tables = {
        _of_table(leak)
        for leak in found.values()
        if isinstance(leak, ShownLeak) and not leak.tried.is_state
    }
    kept = [leak for leak in found.values() if not _is_known(leak, of_tables)]
    return _gravest(_of_widest_states(kept))


def of_kind(facts: Facts, kind: Kind) -> list[AnyLeak]:
    """The leaks of one kind, with those that another kind tells better."""
    return [leak for module in MODULES if module.KIND is kind for leak in module.find(facts)]


def _is_known(leak: AnyLeak, of_tables: Collection[tuple[str, ...]]) -> bool:
    if not isinstance(leak, ShownLeak) or not leak.tried.is_state:
        return False
    return _of_table(leak) in of_tables


def _of_table(leak: ShownLeak) -> tuple[str, ...]:
    """A leak, whatever the state of the row is."""
    column = leak.tried.column if leak.kind.of_column else ""
    return leak.kind.code, leak.tried.table.label, leak.tried.action, column


def _of_widest_states(leaks: Sequence[AnyLeak]) -> list[AnyLeak]:
    kept = []
    for leak in leaks:
        if not any(_is_wider_state(one, leak) for one in leaks):
            kept.append(leak)
    return kept


def _is_wider_state(one: AnyLeak, leak: AnyLeak) -> bool:
    """Whether a leak is the same one of rows in a state that has fewer conditions."""
    if not isinstance(one, ShownLeak) or not isinstance(leak, ShownLeak):
        return False
    if not one.tried.is_state or not leak.tried.is_state or one.severity != leak.severity:
        return False
    same = one.kind is leak.kind and one.tried.table is leak.tried.table
    same &= (one.tried.action, one.tried.actor) == (leak.tried.action, leak.tried.actor)
    return same and {*one.tried.conditions} < {*leak.tried.conditions}


def _gravest(leaks: Sequence[AnyLeak]) -> list[AnyLeak]:
    """Without leaks of which the same write of one's own row shows a graver one."""
    order = list(Severity)
    writes = [leak for leak in leaks if isinstance(leak, ShownLeak) and _is_of_own(leak)]
    best: dict[tuple[str, str, str], ShownLeak] = {}
    # what opens something is proven by what it opens
    ranked = sorted(writes, key=lambda one: (order.index(one.severity), not one.kind.opens))
    told: list[ShownLeak] = []
    for leak in ranked:
        for column in leak.columns or [leak.tried.column]:
            key = leak.tried.table.label, leak.tried.action, column
            if best.setdefault(key, leak) is leak or _is_of_other_side(leak, best[key]):
                told.append(leak)
    kept = [
        leak for leak in _once(leaks, _told_columns(best)) if leak not in writes or leak in told
    ]
    changed = {label for label, action, _ in best if action == UPDATE}
    columns = {TableColumn(label, column) for label, _, column in best}
    return [leak for leak in kept if not _is_asked(leak, changed, columns)]


def _told_columns(best: Mapping[tuple[str, str, str], ShownLeak]) -> set[TableColumn]:
    """The columns that leaks name."""
    return {
        TableColumn(label, column)
        for (label, _, column), leak in best.items()
        if leak.kind.of_column or leak.columns
    }


def _once(leaks: Sequence[AnyLeak], told: Collection[TableColumn]) -> Iterator[AnyLeak]:
    """The leaks, with each column of a row in one question only, and in none if a leak tells it: a
    question about why it is free goes before one about all columns about which others decide.
    """
    asked = [leak for leak in leaks if isinstance(leak, Question)]
    decided = _topics(one for one in asked if one.kind.asks is Asks.DECIDED and not one.of_all)
    columns = {*told, *_topics(one for one in asked if one.is_of_reason)}
    elsewhere = {Asks.CHOSEN: decided - columns, Asks.DECIDED: columns}
    for leak in leaks:
        if not isinstance(leak, Question) or leak.is_of_reason:
            yield leak
            continue
        without = set() if leak.kind.asks is None else elsewhere.get(leak.kind.asks, set())
        if leak.of_all:
            without = {*told, *_topics(one for one in asked if _goes_before(one, leak))}
        pairs = zip(leak.topics, leak.columns, strict=True)
        topics = [topic for topic, column in pairs if column not in without]
        if topics:
            yield replace(leak, topics=tuple(topics))


def _goes_before(one: Question, of_all: Question) -> bool:
    """Whether a question tells its columns instead of another one about those of all tables."""
    return not one.of_all or one.kind.order < of_all.kind.order


def _topics(questions: Iterable[Question]) -> set[TableColumn]:
    return {column for one in questions for column in one.columns}


def _is_of_other_side(leak: ShownLeak, graver: ShownLeak) -> bool:
    """Whether a graver leak is that of another person whom the row names, such as the host of a
    visit, and this one that of the person who adds the row.
    """
    is_of_adder = leak.kind.of_adder and leak.tried.whose == OWN
    return is_of_adder and graver.tried.actor.is_linked and leak.tried.actor != graver.tried.actor


def _is_of_own(leak: ShownLeak) -> bool:
    """Whether a write of a row of one's own shows a leak, or of a membership."""
    tried = leak.tried
    if tried.action == UPDATE:
        return bool(tried.column) and tried.whose != OTHER
    return tried.action == INSERT and (bool(tried.column) or tried.table.rows.is_membership)


def _is_asked(leak: AnyLeak, changed: Collection[str], columns: set[TableColumn]) -> bool:
    """Whether a question about all columns of a row has a column with a leak, or each column of one
    about some has a leak.
    """
    if not isinstance(leak, Question):
        return False
    if leak.kind.asks is Asks.CHOSEN:
        return columns.issuperset(leak.columns)
    return leak.kind.asks is Asks.WHOLE_ROW and leak.decides in changed
