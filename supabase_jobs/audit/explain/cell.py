"""A cell of the matrix in words: what each policy said about which row, and what it used."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from textwrap import shorten
from typing import TypeVar

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.evidence import Evidence
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.policies import expressions, parse_trees
from supabase_jobs.audit.policies.expressions import Claim
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    GROUP,
    INSERT,
    NONE,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import ViewRead, ViewWrite
from supabase_jobs.audit.repairs.causes import reached_without
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import RowState

_T = TypeVar("_T")
_LINES, _WIDTH, _SUGGESTIONS = 30, 100, 5
_ACTIONS = {"read": SELECT, SELECT: SELECT, INSERT: INSERT, UPDATE: UPDATE, DELETE: DELETE}
_WHOSE = {
    OWN: "own row",
    GROUP: "row of the group",
    OTHER: "another's row",
    NONE: "row without an owner",
}


@dataclass(frozen=True)
class _Verdict:
    """An attempt, and the policies that let it pass alone."""

    attempt: Attempt
    permitting: Sequence[Policy]
    refusing: Sequence[Policy]


def explain(connection: Connection, options: Options, cell: Sequence[str]) -> str:
    """Why a caller may or may not do something with the rows of a table, in at most 30 lines.

    `cell` is the table, the caller and the action, in the words of the matrix. Raises ConfigError
    (2), which suggests names, for a cell that the audit does not have.
    """
    name, label, word = cell
    lines: list[str] = []

    def record(evidence: Evidence) -> None:
        lines.extend(_lines(evidence, name, label, word))

    audit(connection, replace(options, stable=True, record=record, repairs=False))
    if len(lines) > _LINES:
        left_out = len(lines) - _LINES + 1
        lines = [*lines[: _LINES - 1], f"… and {left_out} more lines"]
    return "".join(f"{line}\n" for line in lines)


def _lines(evidence: Evidence, name: str, label: str, word: str) -> Iterator[str]:
    action = _one_of(_ACTIONS, word, "action")
    callers = {caller.label: caller for caller in evidence.callers}
    caller = _one_of(callers, label, "caller")
    relations = {attempt.relation.label: attempt.relation for attempt in evidence.attempts}
    views = [one.object for one in evidence.bypasses if isinstance(one.object, Relation)]
    relations |= {view.label: view for view in views}
    relations |= {one.name: one for one in relations.values() if one.schema == "public"}
    relation = _one_of(relations, name, "table or view")
    if relation.is_table:
        yield from _of_table(evidence, relation, caller, action)
    else:
        yield from _of_view(evidence, relation, caller, action)


def _of_table(
    evidence: Evidence, relation: Relation, caller: Persona, action: str
) -> Iterator[str]:
    tried = [
        attempt
        for attempt in evidence.attempts
        if attempt.relation is relation and attempt.caller is caller and attempt.action == action
    ]
    yield f"{relation.label}: {action} as {caller.label}"
    yield from _of_caller(caller)
    yield f"grants: {_grants(relation, caller.role, action)}"
    if not relation.rls:
        yield "row level security is off: no policy applies"
    verdicts = [_verdict(evidence, attempt) for attempt in _each_row(tried)]
    policies = _applying(relation, caller.role, action)
    if relation.rls and not policies:
        yield f"no policy for {action.upper()} applies to {caller.role}: every row is refused"
    for number, policy in enumerate(policies, 1):
        yield from _of_policy(number, policy, verdicts)
    for verdict in verdicts:
        attempt = verdict.attempt
        error = attempt.error
        why = f": {error.diag.message_primary}" if error is not None else ""
        yield _short(f"result: {_row(attempt)}: {attempt.outcome}{why}")
    if not verdicts:
        yield "result: no row of the audit to try it on"
    used = list(_used(evidence.world.plan, relation, policies))
    if used:
        yield _short(f"the policies read: {', '.join(dict.fromkeys(used))}")


def _of_view(evidence: Evidence, view: Relation, caller: Persona, action: str) -> Iterator[str]:
    """Whose policies apply to the tables of a view, and the rows of theirs that it reaches."""
    yield f"{view.label}, a view: {action} as {caller.label}"
    yield from _of_caller(caller)
    yield f"grants: {_grants(view, caller.role, action)}"
    if view.kind == "m":
        yield "a materialized view: it keeps the rows that its owner read; no policy applies"
    elif view.invoker:
        yield "security_invoker: the policies of its tables apply to the caller"
    else:
        yield f"runs as its owner {view.owner}: the policies of its tables apply to {view.owner}"
    tables = evidence.world.plan.catalog.by_oid
    read = [tables[oid].label for oid in view.reads if oid in tables]
    if read:
        yield _short(f"reads: {', '.join(read)}")
    tried = [
        one
        for one in evidence.bypasses
        if one.object is view and one.caller is caller and one.action == action
    ]
    for one in tried:
        why = f": {one.error.diag.message_primary}" if one.error is not None else ""
        yield _short(f"result: {one.outcome}{why}")
        visible = one.visible if isinstance(one, ViewRead | ViewWrite) else ()
        for rows, word in ((one.hidden, "refuse"), (visible, "permit")):
            found = (*one.said.shown, *one.effects.changed)
            reached = {r.relation.label for r in rows if r in found}
            for label in sorted(reached):
                yield _short(f"reached: rows of {label} that the tables {word}")
    if not tried:
        yield "result: not tried"


def _one_of(known: Mapping[str, _T], given: str, what: str) -> _T:
    if given in known:
        return known[given]
    close = get_close_matches(given, known, n=_SUGGESTIONS, cutoff=0.4) or list(known)
    raise ConfigError(f"no {what} {given!r}", hint=f"Pass one of: {', '.join(close)}.")


def _of_caller(caller: Persona) -> Iterator[str]:
    claims = "no claims" if caller.claims is None else json.dumps(dict(caller.claims))
    yield _short(f"role {caller.role}, claims: {claims}")
    if caller.headers:
        yield _short(f"headers: {json.dumps(dict(caller.headers))}")


def _grants(relation: Relation, role: str, action: str) -> str:
    privilege = action.upper()
    columns = [c.name for c in relation.columns if relation.may(role, privilege, c.name)]
    if action == DELETE:
        return f"{privilege} to {role}" if relation.may(role, privilege) else "none"
    if not columns:
        return f"no {privilege} to {role}: every request ends with 42501"
    if len(columns) == len(relation.columns):
        return f"{privilege} to {role}"
    return _short(f"{privilege} ({', '.join(columns)}) to {role}")


def _applying(relation: Relation, role: str, action: str) -> list[Policy]:
    """The policies that the server asks: permissive ones, of which one has to permit the row, then
    restrictive ones, which all have to.
    """
    found = [p for p in relation.policies if p.applies_to(role) and p.governs(action)]
    return sorted(found, key=lambda policy: not policy.permissive)


def _each_row(tried: Iterable[Attempt]) -> list[Attempt]:
    """One attempt for each kind of row: one that was sent, if there is any."""
    found: dict[tuple[str, RowState | None], Attempt] = {}
    for attempt in tried:
        key = attempt.whose, attempt.row.part if attempt.relation.is_storage else None
        if key not in found or (attempt.name == "" and found[key].name != ""):
            found[key] = attempt
    return list(found.values())


def _verdict(evidence: Evidence, attempt: Attempt) -> _Verdict:
    """Which policies permit the row, by trying: a permissive one without the others, and a
    restrictive one by leaving it out.
    """
    policies = _applying(attempt.relation, attempt.caller.role, attempt.action)
    if attempt.sent is None or attempt.around.effect is not None:
        return _Verdict(attempt, (), ())
    permissive = [policy for policy in policies if policy.permissive]
    restrictive = [policy for policy in policies if not policy.permissive]
    trials = [(attempt, [*_others(permissive, one), *restrictive]) for one in permissive]
    alone = reached_without(evidence.impersonation, trials)
    permitting = [one for one, reaches in zip(permissive, alone, strict=True) if reaches]
    refusing = [one for one in permissive if one not in permitting]
    if restrictive and permitting:
        others = [(attempt, _others(restrictive, one)) for one in restrictive]
        passed = reached_without(evidence.impersonation, others)
        for one, reaches in zip(restrictive, passed, strict=True):
            (permitting if reaches else refusing).append(one)
    return _Verdict(attempt, permitting, refusing)


def _others(policies: Iterable[Policy], one: Policy) -> list[Policy]:
    return [policy for policy in policies if policy is not one]


def _of_policy(number: int, policy: Policy, verdicts: Sequence[_Verdict]) -> Iterator[str]:
    kind = "" if policy.permissive else " (restrictive)"
    said = []
    for verdict in verdicts:
        if policy in verdict.permitting:
            said.append(f"permits {_row(verdict.attempt)}")
        elif policy in verdict.refusing:
            said.append(f"refuses {_row(verdict.attempt)}")
    yield _short(f'{number}. policy "{policy.name}"{kind}: {", ".join(said) or "not asked"}')
    for word, text in (("using", policy.visible), ("with check", policy.checked)):
        if text is not None:
            yield _short(f"   {word} ({' '.join(text.split())})")


def _row(attempt: Attempt) -> str:
    """The row of an attempt; of an update, the column, too."""
    words = _WHOSE.get(attempt.whose, attempt.whose)
    column = f" ({attempt.column})" if attempt.column else ""
    return f"{words}{column}"


def _used(plan: Plan, relation: Relation, policies: Iterable[Policy]) -> Iterator[str]:
    """The claims and headers that policies read, and the functions that they call."""
    for policy in policies:
        texts = [text for text in (policy.visible, policy.checked) if text is not None]
        trees = [parse_trees.expression_tree(text) for text in texts]
        found = expressions.request_values(trees)
        for one in sorted(found, key=str):
            if isinstance(one, Claim):
                yield from (f"claim {'.'.join(path)}" for path in one.paths)
            else:
                yield f"header {one.name}"
        yield from plan.usage.policies.policy_functions.get((relation.oid, policy.name), ())


def _short(line: str) -> str:
    """A line that fits; indented lines stay so."""
    indent = line[: len(line) - len(line.lstrip())]
    return indent + shorten(line, _WIDTH - len(indent), placeholder=" …")
