"""The access of each caller to each object, as the baseline records it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from supabase_jobs.audit.callers import ANONYMOUS, CLAIM, MEMBER, OWNER, SERVICE, Persona
from supabase_jobs.audit.catalog import Catalog, Function, Relation
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    FORGE,
    GROUP,
    INSERT,
    JOIN,
    NONE,
    OTHER,
    OWN,
    SELECT,
    UNRECORDED,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES
from supabase_jobs.findings import (
    MEMBER_ROWS,
    OWN_ROWS,
    AccessCaller,
    AccessObject,
    Cell,
    Permission,
    Permissions,
)
from supabase_jobs.outcomes import ROWS

_UPDATE = "update"
_WORDS = {SELECT: "read", INSERT: "insert", UPDATE: _UPDATE, DELETE: "delete"}


def access(
    attempts: Iterable[Attempt], bypasses: Iterable[Bypass]
) -> dict[AccessObject, dict[AccessCaller, Permissions]]:
    """Object → caller → permissions: on other users' rows, for the owner on own rows, for members
    on the group's rows.

    The access of members, and of users with a claim, to own rows is that of the caller "LABEL, own
    rows"; the owner's to rows of other members that of "LABEL, rows of members".
    """
    grouped: dict[tuple[AccessObject, AccessCaller], list[Attempt]] = {}
    for attempt in attempts:
        if (caller := _caller(attempt)) is not None:
            grouped.setdefault((attempt.target, caller), []).append(attempt)
    found: dict[AccessObject, dict[AccessCaller, Permissions]] = {}
    for (name, caller), group in grouped.items():
        found.setdefault(name, {})[caller] = frozenset(_permissions(group))
    for bypass in bypasses:
        if isinstance(bypass.object, Relation) and not bypass.caller.is_made:
            _add(found, bypass)
    return found


def cell_of(one: Bypass | TopicAttempt) -> Cell:
    """The cell of an action on a view or on a topic."""
    return Cell(one.target, AccessCaller(one.caller.label), Permission(_WORDS[one.action]))


def _add(
    found: dict[AccessObject, dict[AccessCaller, Permissions]], one: Bypass | TopicAttempt
) -> None:
    """Add the caller of an action on a view or on a topic, with what the action shows."""
    cell = cell_of(one)
    callers = found.setdefault(cell.object, {})
    shown = {cell.permission} if one.outcome == ROWS else set()
    callers[cell.caller] = callers.get(cell.caller, frozenset()) | shown


def tested(
    attempts: Iterable[Attempt], bypasses: Iterable[Bypass]
) -> dict[tuple[AccessObject, AccessCaller], frozenset[str]]:
    """(object, caller) → the kinds of actions whose refusal is certain: none of their attempts was
    inconclusive.
    """
    tried = [
        ((a.target, caller), a.name if a.name in (JOIN, FORGE) else _WORDS[a.action], a.outcome)
        for a in attempts
        if a.name not in UNRECORDED and (caller := _caller(a)) is not None
    ]
    tried += [
        ((b.target, AccessCaller(b.caller.label)), _WORDS[b.action], b.outcome)
        for b in bypasses
        if isinstance(b.object, Relation) and not b.caller.is_made
    ]
    found: dict[tuple[AccessObject, AccessCaller], set[str]] = {}
    uncertain = {(key, word) for key, word, outcome in tried if outcome in INCONCLUSIVE_SQLSTATES}
    for key, word, _ in tried:
        found.setdefault(key, set()).update({word} if (key, word) not in uncertain else ())
    return {key: frozenset(words) for key, words in found.items()}


def shown_by(attempts: Iterable[Attempt]) -> dict[Cell, Attempt]:
    """Cell → an attempt that shows it."""
    found: dict[Cell, Attempt] = {}
    granted = []
    for attempt in attempts:
        if (
            attempt.reached
            and attempt.name not in UNRECORDED
            and (caller := _caller(attempt)) is not None
        ):
            word = attempt.name if attempt.name in (JOIN, FORGE) else _WORDS[attempt.action]
            shown = [Permission(word)]
            if attempt.column:
                value = Permission(word, attempt.column, attempt.value or "None")
                shown += [Permission(word, attempt.column), value]
            for permission in shown:
                found.setdefault(Cell(attempt.target, caller, permission), attempt)
            if attempt.action in (SELECT, UPDATE):
                granted.append((attempt.target, caller, attempt))
    # a policy lets either no column pass or each that is granted
    for target, caller, attempt in granted:
        for column in _granted(attempt):
            permission = Permission(_WORDS[attempt.action], column)
            found.setdefault(Cell(target, caller, permission), attempt)
    return found


def functions(called: Sequence[Function]) -> Mapping[str, tuple[str, ...]]:
    """Function → the API roles that may call it."""
    callers = {}
    for function in called:
        roles = (role for role in function.callers if role != "service_role")
        callers[function.signature] = tuple(roles)
    return callers


def of_topics(
    topics: Sequence[TopicAttempt],
) -> dict[AccessObject, dict[AccessCaller, Permissions]]:
    """Topic → caller → permissions."""
    found: dict[AccessObject, dict[AccessCaller, Permissions]] = {}
    for attempt in topics:
        if not attempt.caller.is_made:
            _add(found, attempt)
    return found


def tested_topics(
    topics: Sequence[TopicAttempt],
) -> dict[tuple[AccessObject, AccessCaller], frozenset[str]]:
    """(topic, caller) → the actions without an inconclusive attempt."""
    found: dict[tuple[AccessObject, AccessCaller], set[str]] = {}
    topics = [attempt for attempt in topics if not attempt.caller.is_made]
    for attempt in topics:
        key = attempt.target, AccessCaller(attempt.caller.label)
        words = found.setdefault(key, set())
        words.add(_WORDS[attempt.action])
    for attempt in topics:
        if attempt.outcome in INCONCLUSIVE_SQLSTATES:
            key = attempt.target, AccessCaller(attempt.caller.label)
            found[key].discard(_WORDS[attempt.action])
    return {key: frozenset(words) for key, words in found.items()}


def _caller(attempt: Attempt) -> AccessCaller | None:
    caller: Persona = attempt.caller
    if caller.kind == SERVICE or caller.is_made:
        return None  # row level security does not apply to it, or it depends on how policies ask
    if caller.kind == OWNER:
        rows = MEMBER_ROWS if attempt.whose == GROUP else ""
        return AccessCaller(caller.label, rows)
    if attempt.whose == OWN:
        has_own = caller.kind in (MEMBER, ANONYMOUS, CLAIM)
        return AccessCaller(caller.label, OWN_ROWS) if has_own else None
    return AccessCaller(caller.label) if attempt.whose in (OTHER, GROUP, NONE) else None


def _permissions(attempts: Sequence[Attempt]) -> Iterator[Permission]:
    for action, word in _WORDS.items():
        group = [
            a for a in attempts if a.action == action and a.name not in (JOIN, FORGE, *UNRECORDED)
        ]
        if action == UPDATE:
            yield from _updates(group)
        elif any(a.reached for a in group):
            some = action == SELECT and _restricted(group[0])
            columns = _granted(group[0]) if some else [""]
            yield from (Permission(word, column) for column in columns)
    reached = {attempt.name for attempt in attempts if attempt.reached}
    yield from (Permission(name) for name in (JOIN, FORGE) if name in reached)


def _updates(attempts: Sequence[Attempt]) -> list[Permission]:
    """The permission to update whole rows, or columns and values if some of several columns, or
    some values of a list, are refused.

    Of rows of others and in further states, one column is tried: a policy lets either none pass or
    each.
    """
    columns = list(dict.fromkeys(a.column for a in attempts if a.column))
    changed: list[Permission] = []
    for column in columns:
        changed += _values([a for a in attempts if a.column == column])
    if not changed or changed != [Permission(_UPDATE, column) for column in columns]:
        return changed
    if not _restricted(attempts[0]):
        return [Permission(_UPDATE)]
    if len(columns) == 1:
        changed = [Permission(_UPDATE, column) for column in _granted(attempts[0])]
    return changed


def _values(attempts: Sequence[Attempt]) -> list[Permission]:
    """The column of updates; each value that is allowed, if others of its list are refused."""
    reached = dict.fromkeys(a.value for a in attempts if a.reached)
    if not reached:
        return []
    column, relation = attempts[0].column or "", attempts[0].relation
    refused = any(not a.reached and a.value not in reached for a in attempts)
    listed = [v for v in reached if v is not None and _is_listed(relation, column, v)]
    return (
        [Permission(_UPDATE, column, value) for value in listed]
        if refused and len(listed) == len(reached)
        else [Permission(_UPDATE, column)]
    )


def _is_listed(relation: Relation, column: str, value: str) -> bool:
    """Whether an enum or a CHECK constraint lists a value, so that it is no generated one."""
    checks = " ".join(c.definition or "" for c in relation.constraints if c.kind == "c")
    return bool(re.fullmatch(r"\w+", value)) and (
        value in relation.by_name[column].labels or f"'{value}'" in checks
    )


def _restricted(attempt: Attempt) -> bool:
    """Whether the role has the privilege of an attempt on columns, not on the table."""
    return f"{attempt.caller.role} {attempt.action.upper()}" not in attempt.relation.granted


def _granted(attempt: Attempt) -> list[str]:
    """The columns on which the role has the privilege of an attempt."""
    relation, role = attempt.relation, attempt.caller.role
    return [c.name for c in relation.columns if relation.may(role, attempt.action.upper(), c.name)]


def reachable_functions(catalog: Catalog) -> list[Function]:
    """The functions that requests of anon or a signed-in user can call."""
    return [
        f
        for f in catalog.functions
        if f.schema in catalog.served
        and f.kind == "f"
        and f.result not in ("trigger", "event_trigger")
        and set(f.callers) & {"anon", "authenticated"}
    ]
