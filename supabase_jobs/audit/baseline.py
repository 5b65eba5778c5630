"""The baseline of a project: who may do what with which object, reviewed and committed as
supabase/access.toml.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from supabase_jobs.audit.limits import some
from supabase_jobs.findings import (
    BASELINE,
    MEMBER_ROWS,
    OWN_ROWS,
    Access,
    AccessCaller,
    AccessObject,
    Audit,
    AuditedRelation,
    AuditFinding,
    Cell,
    Explanation,
    Id,
    Permission,
    Permissions,
    Severity,
)
from supabase_jobs.findings.permission import NONE, beyond, parse, printed
from supabase_jobs.settings import read_toml, validate_toml

_ANON, _NEWCOMER, _STRANGER, _OWNER = map(AccessCaller, ("anon", "newcomer", "stranger", "owner"))
OUTSIDERS = frozenset({_ANON, _NEWCOMER, _STRANGER})
_UPDATE = "update"
# the JSON Schema has the same pattern
_SCHEMA = Path(__file__).with_name("access.schema.json")
_SCHEMA_URL = (
    "https://raw.githubusercontent.com/supabase-jobs/supabase-jobs/main/"
    "supabase_jobs/audit/access.schema.json"
)
_HEAD = f"""\
#:schema {_SCHEMA_URL}
# Who may do what, as `supabase-jobs audit --update-baseline` found it. Review \
each change in the pull request.
# The actions are those on other users' rows; a caller that is not named has none. \
For the owner and for members they
# are those on their own and their group's rows.
# join: add a row of one's own to another's group; forge: add a row in another's name.
"""
_ACCEPTED = """
# Leaks that are intended, with the reason.
"""
_DECISIONS = """
# What the project has decided: the answer to each question, which says why it is so.
"""
_LAST_MIGRATION = "# What later migrations change is tried first as the cause of other access."
_COLUMNS = """
# The columns of each table. One that is added, and that no policy or function mentions, may be
# updated as the others of its row.
"""


@dataclass(frozen=True)
class Baseline:
    """The accepted access: object → caller → permissions; table → the columns that it had; function
    → roles; the id of an accepted leak → its reason; the id of a question → its answer; the version
    of the last migration that it has seen.
    """

    access: Access = field(default_factory=dict)
    functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)
    decisions: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Collection[str]] = field(default_factory=dict)
    last_migration: str = ""


def load(path: Path) -> Baseline:
    """Read a baseline. Raises ConfigError for a file that cannot be read, an unknown key or a value
    of another type.
    """
    table = read_toml(path)
    validate_toml(path, _with_reasons(table), _SCHEMA)
    return Baseline(
        access=parsed(table.get("access", {})),
        functions=parsed_functions(table.get("functions", {})),
        accepted=table.get("accepted", {}),
        decisions=table.get("decisions", {}),
        columns=table.get("columns", {}),
        last_migration=table.get("last_migration", ""),
    )


def parsed(access: Mapping[str, Mapping[str, str]]) -> Access:
    """The access of a file, in which words name callers and permissions."""
    return {AccessObject.parse(name): _permissions(callers) for name, callers in access.items()}


def _permissions(callers: Mapping[str, str]) -> dict[AccessCaller, Permissions]:
    return {AccessCaller.parse(label): parse(words) for label, words in callers.items()}


def parsed_functions(functions: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The roles of a file that may call each function."""
    return {name: _roles(text) for name, text in functions.items()}


def _roles(text: str) -> tuple[str, ...]:
    return tuple(role for role in text.split() if role != NONE)


def _with_reasons(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table for its schema, which demands the reasons: without one, a leak is a warning."""
    accepted = table.get("accepted")
    if not isinstance(accepted, dict):
        return table
    return {**table, "accepted": {leak: reason or "none" for leak, reason in accepted.items()}}


def render(result: Audit, old: Baseline, last_migration: str = "") -> str:
    """The baseline of an audit as TOML; the reasons and answers of `old` are kept."""
    lines = [_HEAD]
    if last_migration:
        lines += [_LAST_MIGRATION, f"last_migration = {_text(last_migration)}", ""]
    lines.append("[access]")
    for name, callers in _by_name(result.access):
        shown = {
            caller: actions for caller, actions in callers.items() if actions or caller == _STRANGER
        }
        pairs = ", ".join(
            f"{_key(str(caller))} = {_text(printed(actions))}" for caller, actions in shown.items()
        )
        lines.append(f"{_text(str(name))} = {{ {pairs} }}")
    if columns := _columns(result):
        lines += [_COLUMNS.rstrip("\n"), "[columns]"]
        lines += [f"{_text(name)} = {_texts(names)}" for name, names in columns.items()]
    lines += ["", "# The roles that may call each function.", "[functions]"]
    lines += [
        f"{_text(name)} = {_text(' '.join(roles) or NONE)}"
        for name, roles in sorted(result.functions.items())
    ]
    accepted, decisions = _reasons(result, old)
    if accepted:
        lines += [_ACCEPTED.rstrip("\n"), "[accepted]"]
        lines += [f"{_text(leak)} = {_text(reason)}" for leak, reason in accepted.items()]
    if decisions:
        lines += [_DECISIONS.rstrip("\n"), "[decisions]"]
        lines += [f"{_text(one)} = {_text(answer)}" for one, answer in decisions.items()]
    return "\n".join(lines) + "\n"


def without_reason(result: Audit, old: Baseline) -> int:
    """How many leaks and questions of a rendered baseline have no reason and no answer yet."""
    accepted, decisions = _reasons(result, old)
    return sum(not text.strip() for text in (*accepted.values(), *decisions.values()))


def with_reasons(result: Audit, old: Baseline) -> Audit:
    """The audit with its leaks and questions that have a reason or an answer as infos."""
    accepted = {leak: reason for leak, reason in old.accepted.items() if reason.strip()}
    decisions = {one: answer for one, answer in old.decisions.items() if answer.strip()}
    given = Baseline(accepted=accepted, decisions=decisions)
    return replace(result, findings=tuple(_accepted(one, given) for one in result.findings))


def _reasons(result: Audit, old: Baseline) -> tuple[dict[str, str], dict[str, str]]:
    """The ids of leaks with the reasons of a baseline, and those of questions with its answers."""
    leaks = sorted(f.id for f in result.findings if f.severity.is_problem)
    questions = sorted(f.id for f in result.findings if f.severity is Severity.QUESTION)
    return (
        {leak: old.accepted.get(leak, "") for leak in leaks},
        {one: old.decisions.get(one, "") for one in questions},
    )


def _columns(result: Audit) -> dict[str, list[str]]:
    """The columns of each table of which somebody may update only some, or replaces rows."""
    found = {}
    for name, callers in _by_name(result.access):
        relation = result.relations.get(name.label)
        changes = any(_updates_some(one) or _replaces(one) for one in callers.values())
        if relation is not None and changes:
            found[name.label] = sorted(relation.columns)
    return found


def _updates_some(some: Collection[Permission]) -> bool:
    """Whether somebody updates only some columns, or sets only some values."""
    return any(one.kind == _UPDATE and one.column for one in some)


def _replaces(some: Collection[Permission]) -> bool:
    """Whether somebody inserts and deletes rows: a link of which all columns are keys."""
    return {Permission("insert"), Permission("delete")}.issubset(some)


def _by_name(some_access: Access) -> list[tuple[AccessObject, Mapping[AccessCaller, Permissions]]]:
    return sorted(some_access.items(), key=lambda one: str(one[0]))


def apply(result: Audit, baseline: Baseline, *, strict: bool, narrowed: bool) -> Audit:
    """The audit with the deviations from a baseline as findings; accepted leaks become infos.

    `strict`: narrower access is an error too. `narrowed`: the audit saw only a part of the objects.
    """
    findings = [*_deviations(result, baseline, strict=strict, narrowed=narrowed)]
    findings += [_accepted(finding, baseline) for finding in result.findings]
    order = list(Severity)
    return replace(
        result,
        findings=tuple(sorted(findings, key=lambda f: (order.index(f.severity), f.object, f.id))),
    )


def _accepted(finding: AuditFinding, baseline: Baseline) -> AuditFinding:
    if finding.severity is Severity.QUESTION:
        return _decided(finding, baseline.decisions.get(finding.id))
    reason = baseline.accepted.get(finding.id)
    if reason is None or finding.severity is Severity.INFO:
        return finding
    if reason.strip():
        message = f"{finding.message} (accepted: {reason})"
        return replace(finding, severity=Severity.INFO, message=message, fix="", callers=())
    reason = f'Give the reason in the baseline: [accepted] {_text(finding.id)} = "…"'
    fix = f"-- {reason}. Or close it:\n{finding.fix}"
    return replace(
        finding,
        severity=Severity.WARNING,
        message=f"{finding.message} (accepted without a reason)",
        fix=fix,
    )


def _decided(question: AuditFinding, answer: str | None) -> AuditFinding:
    """A question with its answer is an info; one that was recorded without, a warning."""
    if answer is None:
        return question
    if answer.strip():
        message = f"{question.message} (decided: {answer})"
        return replace(question, severity=Severity.INFO, message=message)
    fix = f'-- Give the answer in the baseline: [decisions] {_text(question.id)} = "…"'
    message = f"{question.message} (recorded without an answer)"
    return replace(question, severity=Severity.WARNING, message=message, fix=fix)


def wider(now: Access, before: Access) -> Iterator[Cell]:
    """The access that goes beyond the one before."""
    for name, callers in now.items():
        for caller, actions in callers.items():
            for permission in beyond(actions, before.get(name, {}).get(caller, ())):
                yield Cell(name, caller, permission)


def deviation_id(cell: Cell) -> str:
    """The id of the finding about access beyond the baseline."""
    return f"{BASELINE}:{cell}:wider"


def _deviations(
    result: Audit, baseline: Baseline, *, strict: bool, narrowed: bool
) -> Iterator[AuditFinding]:
    known = {caller for callers in result.access.values() for caller in callers}
    known |= {
        AccessCaller(label, rows)
        for label in result.callers
        for rows in ("", OWN_ROWS, MEMBER_ROWS)
    }
    # who has no access is not recorded, but every audit has outsiders
    recorded = OUTSIDERS.union(*baseline.access.values())
    recorded -= {one for one in recorded if _is_settled(one, result) and _is_inert(one, baseline)}
    for name, callers in result.access.items():
        if name not in baseline.access:
            yield from _new(name, callers, result)
            continue
        for caller in dict.fromkeys([*callers, *baseline.access[name]]):
            before = baseline.access[name].get(caller, frozenset())
            if caller not in recorded:
                continue
            if caller not in known and before:
                yield _unknown_caller(name, caller, known, strict)
                continue
            now = callers.get(caller, frozenset())
            now -= _of_new_columns(result, baseline, name, caller)
            yield from _compare(name, caller, now, before, strict, result)
    yield from _new_columns(result, baseline)
    yield from _new_callers(result, baseline, recorded)
    for function, roles in result.functions.items():
        if function in baseline.functions:
            before_ = set(baseline.functions[function])
            yield from _compare_roles(function, set(roles), before_, strict, result)
        elif roles:  # what it returns or changes is a finding of its own
            message = f"is not in the baseline; callers: {', '.join(roles)}"
            yield _finding(f"new:{function}", Severity.INFO, function, message)
    if not narrowed:
        gone = [name for name in baseline.access if name not in result.access]
        functions = [name for name in baseline.functions if name not in result.functions]
        for name in [*gone, *map(AccessObject, functions)]:
            severity, message = _narrower(strict), "is in the baseline, and no request reaches it"
            # a column has another default or constraint, or is gone
            if AccessObject(name.label) in result.access:
                severity, message = (
                    Severity.INFO,
                    "is in the baseline, and no row in this state could be generated",
                )
            yield _finding(f"gone:{name}", severity, str(name), message)


def opens(name: AccessObject, allowed: Mapping[AccessCaller, Permissions], result: Audit) -> bool:
    """Whether a new object is open to outsiders. A view counts only if it leaks what its tables
    refuse.
    """
    relation = None if name.state else result.relations.get(name.label)
    is_view = relation is not None and "view" in relation.kind
    return bool(OUTSIDERS & allowed.keys()) and (
        not is_view or any(f.object == str(name) for f in result.findings)
    )


def _of_new_columns(
    result: Audit, baseline: Baseline, name: AccessObject, caller: AccessCaller
) -> Permissions:
    """The updates of columns that are new, that nothing mentions, and that belong to a row of which
    the caller may update other columns, too, or that it may replace.
    """
    table, before = name.label, baseline.access[name].get(caller, ())
    relation = result.relations.get(table)
    if relation is None or table not in baseline.columns or caller in OUTSIDERS:
        return frozenset()
    if not any(one.kind == _UPDATE for one in before) and not _replaces(before):
        return frozenset()
    new = relation.columns.difference(baseline.columns[table], relation.mentioned)
    updates = [one for one in result.access[name].get(caller, ()) if one.kind == _UPDATE]
    # of a row in a state, only one column is tried
    is_opened = name.state is not None and _replaces(before) and Permission(_UPDATE) not in before
    return frozenset(
        one for one in updates if one.column in new or (is_opened and new and not one.column)
    )


def _new_columns(result: Audit, baseline: Baseline) -> Iterator[AuditFinding]:
    """One info for each new column that is updated as the others of its row."""
    callers: dict[tuple[str, str], set[str]] = {}
    for name in result.access.keys() & baseline.access.keys():
        for caller in result.access[name]:
            for one in _of_new_columns(result, baseline, name, caller):
                if one.column:
                    callers.setdefault((name.label, one.column), set()).add(str(caller))
    for (table, column), who in sorted(callers.items()):
        message = f"the column {column} is not in the baseline; update: {', '.join(sorted(who))}"
        yield _finding(f"new:{table}.{column}", Severity.INFO, table, message)


def _unknown_caller(
    name: AccessObject, caller: AccessCaller, known: Collection[AccessCaller], strict: bool
) -> AuditFinding:
    similar = get_close_matches(str(caller), map(str, known), 1)
    meant = (
        f"; probably {similar[0]!r} is meant"
        if similar
        else ", such as that of a role that was removed"
    )
    message = f"{str(caller)!r} is in the baseline, but this audit has no such caller{meant}"
    return _finding(f"{name}:{caller}:unknown", _narrower(strict), str(name), message)


def _new(
    name: AccessObject, callers: Mapping[AccessCaller, Permissions], result: Audit
) -> Iterator[AuditFinding]:
    """An object that the baseline lacks: an error if it is open to users without a row in it."""
    allowed = {caller: actions for caller, actions in callers.items() if actions}
    if allowed:
        severity = Severity.ERROR if opens(name, allowed, result) else Severity.INFO
        shown = ", ".join(f"{caller}: {printed(actions)}" for caller, actions in allowed.items())
        message = f"is not in the baseline; {shown}"
        explained = _of_cells(result, wider({name: allowed}, {})) or _of_object(result, str(name))
        yield _finding(f"new:{name}", severity, str(name), message, explained)


def _new_callers(
    result: Audit, baseline: Baseline, recorded: Collection[AccessCaller]
) -> Iterator[AuditFinding]:
    """One finding for each caller without access in the baseline that has more than everyone, such
    as a user with a claim that is new, or one that an earlier version did not try.
    """
    names = dict.fromkeys(caller for callers in result.access.values() for caller in callers)
    for caller in [name for name in names if name not in recorded]:
        gained: dict[AccessObject, list[Permission]] = {}
        for name, callers in result.access.items():
            if name in baseline.access and caller in callers:
                known = _of_everyone(caller, baseline.access[name])
                if more := beyond(callers[caller], known):
                    gained[name] = more
        if gained:
            severity = _severity(caller, gained, baseline)
            if _is_settled(caller, result):
                severity = Severity.INFO
            yield _new_caller(result, caller, gained, severity)


def _is_settled(caller: AccessCaller, result: Audit) -> bool:
    """Whether a member has another state than the one in which memberships begin."""
    return caller.label in result.settled


def _is_inert(caller: AccessCaller, baseline: Baseline) -> bool:
    """Whether a caller has no more than everyone in a baseline, as a member who may nothing yet."""
    return all(
        callers.get(caller, frozenset()) <= _of_everyone(caller, callers)
        for callers in baseline.access.values()
    )


def _severity(
    caller: AccessCaller,
    gained: Mapping[AccessObject, Sequence[Permission]],
    baseline: Baseline,
) -> Severity:
    """An info if each caller of the same table has all of it in the baseline: a role that is new,
    and that gives no more than any other.
    """
    peers = {
        other
        for callers in baseline.access.values()
        for other in callers
        if caller.table and (other.table, other.rows) == (caller.table, caller.rows)
    }
    is_known = peers and all(
        set(more) <= baseline.access[name].get(peer, frozenset())
        for name, more in gained.items()
        for peer in peers
    )
    return Severity.INFO if is_known else Severity.ERROR


def _of_everyone(caller: AccessCaller, before: Mapping[AccessCaller, Permissions]) -> Permissions:
    """The recorded access that a new caller has, too: that of everyone of its role, and to its own
    rows that of the owner.
    """
    if caller.rows == OWN_ROWS:
        return before.get(_OWNER, frozenset())
    if caller.rows == MEMBER_ROWS:  # which are not a stranger's
        return frozenset()
    return before.get(_ANON if caller.is_anonymous else _STRANGER, frozenset())


def accepted_actions(baseline: Baseline, name: AccessObject, caller: AccessCaller) -> Permissions:
    """The actions of a caller on an object that a baseline accepts. Of a caller that it does not
    know at all, such as one with a header that a migration introduces, those of everyone of its
    role, as in the comparison with the baseline.
    """
    callers = baseline.access.get(name, {})
    if caller in callers or caller in OUTSIDERS.union(*baseline.access.values()):
        return callers.get(caller, frozenset())
    return _of_everyone(caller, callers)


def _new_caller(
    result: Audit,
    caller: AccessCaller,
    gained: Mapping[AccessObject, Sequence[Permission]],
    severity: Severity,
) -> AuditFinding:
    shown = [f"{', '.join(map(str, more))} in {name}" for name, more in gained.items()]
    message = f"{caller} has no access in the baseline, and now {some(shown)}"
    cells = (Cell(name, caller, one) for name, more in gained.items() for one in more)
    first = str(next(iter(gained)))
    explained = _of_cells(result, cells) or _of_object(result, first)
    return _finding(f"new:{caller}", severity, first, message, explained)


def _compare(
    name: AccessObject,
    caller: AccessCaller,
    now: Collection[Permission],
    before: Collection[Permission],
    strict: bool,
    result: Audit,
) -> Iterator[AuditFinding]:
    for permission in beyond(now, before):
        cell = Cell(name, caller, permission)
        message = f"{caller}: {_of_columns(permission, before)} is allowed; it was not"
        explained = result.explained.get(cell) or _of_object(result, str(name))
        yield _finding(f"{cell}:wider", Severity.ERROR, str(name), message, explained)
    relation = result.relations.get(name.label)
    for permission in beyond(before, now):
        if relation is not None and _is_unsettable(permission, now, relation):
            continue
        message = f"{caller}: {_of_columns(permission, now)} is refused; it was not"
        id_ = f"{Cell(name, caller, permission)}:narrower"
        yield _finding(id_, _narrower(strict), str(name), message)


def _compare_roles(
    name: str, now: set[str], before: set[str], strict: bool, result: Audit
) -> Iterator[AuditFinding]:
    """The roles that may call a function."""
    for role in sorted(now - before):
        explained = _of_object(result, name)
        message = f"callers: {role} is allowed; it was not"
        yield _finding(f"{name}:callers:{role}:wider", Severity.ERROR, name, message, explained)
    for role in sorted(before - now):
        message = f"callers: {role} is refused; it was not"
        yield _finding(f"{name}:callers:{role}:narrower", _narrower(strict), name, message)


def _is_unsettable(
    permission: Permission, now: Collection[Permission], relation: AuditedRelation
) -> bool:
    """Whether an update lacks only columns that a trigger sets now, whoever updates them."""
    if permission.kind != _UPDATE or permission.value:
        return False
    if permission.column:
        return permission.column in relation.unsettable
    updated = {one.column for one in now if one.kind == _UPDATE and not one.value}
    return bool(updated) and relation.columns == updated | relation.unsettable


def _of_columns(permission: Permission, others: Collection[Permission]) -> str:
    """A permission, with what distinguishes it from the same one on some columns, or with some
    values.
    """
    parts = permission.parts(others)
    if not parts:
        return str(permission)
    if not permission.column:
        return f"{permission} of every column"
    return f"{permission}, not only {', '.join(map(str, parts))},"


def _of_cells(result: Audit, cells: Iterable[Cell]) -> Explanation | None:
    """The explanation of the first cell which has one."""
    return next(filter(None, map(result.explained.get, cells)), None)


def _of_object(result: Audit, name: str) -> Explanation | None:
    """The explanation of another finding on the object, such as a view that bypasses policies."""
    return next((f.explanation for f in result.findings if f.object == name), None)


def _finding(
    id_: str, severity: Severity, name: str, message: str, explained: Explanation | None = None
) -> AuditFinding:
    found = explained or Explanation(cause="a change since the baseline", fix="")
    fix = "If this is intended: supabase-jobs audit --update-baseline, and review the change."
    # as an SQL comment, so that the fix as a whole can be pasted into psql
    return AuditFinding(
        id=Id(BASELINE, id_),
        severity=severity,
        object=name,
        message=message,
        fix=f"-- {fix}\n{found.fix}".rstrip(),
        cause=found.cause,
        policies=found.policies,
        origin=found.origin,
        proven=found.proven,
        callers=found.callers,
        column=found.column,
        kind=BASELINE,
        left=found.left,
    )


def _narrower(strict: bool) -> Severity:
    return Severity.ERROR if strict else Severity.WARNING


def _key(text: str) -> str:
    return text if re.fullmatch(r"[\w-]+", text) and text.isascii() else _text(text)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _texts(texts: Sequence[str]) -> str:
    return json.dumps(texts, ensure_ascii=False)
