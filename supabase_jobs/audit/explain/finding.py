"""A finding as a script for psql: its rows, what its caller does step by step, and a rollback."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from psycopg import sql

from supabase_jobs.audit import access
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.baseline import deviation_id
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.emit import recording as recorded
from supabase_jobs.audit.emit.cases import named_cursors, variants
from supabase_jobs.audit.emit.plain import AsSent, Plain
from supabase_jobs.audit.emit.recording import RecordedAttempt, Recording, RowText
from supabase_jobs.audit.evidence import Evidence
from supabase_jobs.audit.leaks import escalation
from supabase_jobs.audit.leaks.leak import AnyLeak, BrokenAccess, Question, Repair, ShownLeak
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.probes.attempt import GROUP, OWN, AnyAttempt, Attempt
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.escalation import Gain
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.audit.scene import REQUEST_SETTINGS
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Audit, AuditFinding
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session import script
from supabase_jobs.session.action import Cursor
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.impersonation import caller_statement
from supabase_jobs.session.outcome import outcome_of_group
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.settings import SETTINGS

_SUGGESTIONS = 5
_ABOUT = "Paste this into psql. The rollback at the end undoes everything."
_POLICIES = """\
select policyname, permissive, roles, cmd, qual, with_check
from pg_policies
where schemaname = {schema} and tablename = {name}
order by policyname"""
_EXECUTE = """\
select p.oid::regprocedure, p.prosecdef, a.grantee::regrole, a.privilege_type
from pg_proc as p
cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
where p.oid = {name}::regprocedure
order by a.grantee"""
_VIEW = """\
select relowner::regrole as owner, relacl, reloptions, pg_get_viewdef(oid, true) as definition
from pg_class
where relnamespace = {schema}::regnamespace and relname = {name}"""
_GRANTS = """\
select grantee, privilege_type
from information_schema.table_privileges
where table_schema = {schema} and table_name = {name}
order by grantee, privilege_type"""


@dataclass(frozen=True)
class _Step:
    """An action of a caller, and the same as a request; '' if there is none."""

    attempt: RecordedAttempt
    request: str


def _as_it_is(result: Audit) -> Audit:
    return result


def explain(
    connection: Connection,
    options: Options,
    id_: str,
    compared: Callable[[Audit], Audit] = _as_it_is,
) -> str:
    """The script of the finding with this id; its rows, callers and statements are those of an
    audit, in which it was tried. `compared` adds the deviations from a baseline.

    Raises ConfigError (2), which suggests similar ids, if there is no such finding.
    """
    seen: list[tuple[Evidence, Recording]] = []

    def record(evidence: Evidence) -> None:
        seen.append((evidence, recorded.record(connection, evidence, options.copied)))

    # the repair may tell the cause
    options = replace(options, stable=True, record=record, repairs=[id_])
    result = compared(audit(connection, options))
    [(evidence, known)] = seen
    finding = next((found for found in result.findings if found.id == id_), None)
    if finding is None:
        raise _unknown(id_, result)
    return _script(connection, evidence, known, finding, options.served[0])


def _script(
    connection: Connection,
    seen: Evidence,
    known: Recording,
    finding: AuditFinding,
    default_schema: str,
) -> str:
    leak = seen.leaks.get(finding.id)
    is_refused = isinstance(leak, BrokenAccess)
    with rolled_back(connection, Statement(SETTINGS)):
        run_groups(connection, [REQUEST_SETTINGS])[0].answer()
        for chain in _beyond(seen, finding) if leak is None else _chains(seen, leak):
            steps = [_step(one, default_schema) for one in chain]
            body = _body(connection, known, steps, is_refused=is_refused)
            if body is not None:
                return f"{_head(finding)}{body}rollback;\n"
    return f"{_head(finding)}{_policies(seen, finding)}rollback;\n"


def _head(finding: AuditFinding) -> str:
    cause = f"Cause: {finding.cause}" if finding.cause else ""
    title = f"{finding.severity} {finding.id}"
    return script.comment(title, f"{finding.object}: {finding.message}", cause, _ABOUT) + "begin;\n"


def _policies(seen: Evidence, finding: AuditFinding) -> str:
    """The policies, privileges or text of the object: nothing was tried, or no row shows it."""
    if any(f.signature == finding.object for f in seen.world.plan.catalog.functions):
        text = sql.SQL(_EXECUTE).format(name=sql.Literal(finding.object))
        return (
            f"\n-- No row shows it; the privileges do ('-' is PUBLIC).\n{text.as_string(None)};\n"
        )
    schema, _, name = finding.object.partition(".")
    for attempt in seen.attempts:
        if attempt.label == finding.object:
            schema, name = attempt.relation.schema, attempt.relation.name
            break
    what, query = _reason(seen, finding, f"{schema}.{name}")
    text = sql.SQL(query).format(schema=sql.Literal(schema), name=sql.Literal(name))
    return f"\n-- No row shows it; {what}.\n{text.as_string(None)};\n"


def _reason(seen: Evidence, finding: AuditFinding, name: str) -> tuple[str, str]:
    """The words for where a finding without a row is seen, and the query of it."""
    leak = seen.leaks.get(finding.id)
    if leak is not None and leak.kind.repair is Repair.ADVICE:
        return "the privileges do", _GRANTS
    relations = seen.world.plan.catalog.by_oid.values()
    if any(one.label == name and one.kind in "vm" for one in relations):
        return "the view does", _VIEW
    return "the policies do", _POLICIES


def _beyond(seen: Evidence, finding: AuditFinding) -> Iterator[Sequence[AnyAttempt]]:
    """The actions on a view or topic that go beyond the baseline; those on tables are leaks."""
    tried: list[Bypass | TopicAttempt] = [*seen.channels]
    tried += [one for one in seen.bypasses if isinstance(one.object, Relation)]
    for one in tried:
        if one.outcome == ROWS and deviation_id(access.cell_of(one)) == finding.id:
            yield [one]


def _chains(seen: Evidence, leak: AnyLeak) -> Iterator[Sequence[AnyAttempt]]:
    """The chains of actions that may show a leak, the best first."""
    if isinstance(leak, BrokenAccess):
        yield from ([attempt] for attempt in _refused(seen, leak))
        return
    if isinstance(leak, Question):
        yield from ([seen.attempts[tried.number]] for tried in leak.tried)
    elif isinstance(leak, ShownLeak):
        write = seen.attempts[leak.tried.number]
        if leak.kind is escalation.KIND:
            for gain in seen.gains:
                if gain.write is write:
                    yield from ([write, second] for second in _opened(seen, gain))
        yield [write]
        return
    yield from ([one] for one in seen.bypasses if one.outcome == ROWS and one.label == leak.object)
    yield from ([one] for one in seen.channels if one.label == leak.object and one.outcome == ROWS)
    outside = [a for a in seen.attempts if a.label == leak.object and a.caller.is_outsider]
    yield from ([one] for one in outside if one.reached and one.whose != OWN)


def _opened(seen: Evidence, gain: Gain) -> Iterator[Attempt]:
    """The actions that a write may have opened to its caller."""
    for attempt in seen.attempts:
        if attempt.caller is gain.write.caller and attempt.relation is gain.row.relation:
            is_closed = attempt.action == gain.action and not attempt.reached
            if is_closed and attempt.sent is not None:
                yield attempt


def _refused(seen: Evidence, leak: BrokenAccess) -> list[Attempt]:
    """The actions that policies permit and that fail, first those of the owner."""
    refusal = leak.refusal
    found = [
        attempt
        for attempt in seen.attempts
        if attempt.label == leak.object
        and attempt.action in refusal.actions
        and attempt.caller.role in refusal.roles
        and not attempt.reached
        and attempt.sent is not None
    ]
    return sorted(found, key=lambda a: (a.whose != OWN, a.whose != GROUP))


def _step(one: AnyAttempt, default_schema: str) -> _Step:
    request = one.request(default_schema)
    return _Step(recorded.recorded(one), "" if request is None else request.command)


def _body(
    connection: Connection, known: Recording, steps: Sequence[_Step], *, is_refused: bool
) -> str | None:
    """The rows and the steps, written in the shortest way that shows the finding; None if none
    does.
    """
    plain = Plain(connection, known)
    attempts = [step.attempt for step in steps]
    for rows, style in variants(known, plain, [a.of for a in attempts], attempts):
        texts = [style.row(row) for row in rows]
        cursors, renamed = named_cursors(attempts, style)
        sent = [_statement(attempt, style) for attempt in renamed]
        outcome = _outcome(connection, texts, cursors, style, list(zip(renamed, sent, strict=True)))
        if (outcome != ROWS) if is_refused else (outcome == ROWS):
            parts = [_rows(texts), _opened_cursors(cursors)]
            for number, (step, text) in enumerate(zip(steps, sent, strict=True), 2):
                parts.append(_acting(number, step, text, style))
            end = f"-- {outcome}: the policies permit it.\n" if is_refused else ""
            return "".join(parts) + end
    return None


def _statement(attempt: RecordedAttempt, style: AsSent) -> str:
    """The statement of an attempt."""
    if attempt.sent is not None:
        return style.action(attempt.sent)
    return style.call(attempt.showings[0].action)


def _outcome(
    connection: Connection,
    rows: Sequence[RowText],
    cursors: Sequence[Cursor],
    style: AsSent,
    steps: Sequence[tuple[RecordedAttempt, str]],
) -> str:
    """The outcome of the last step, after the others; '' if the rows cannot be inserted."""
    start = [statement for row in rows for statement in row.statements]
    start += [statement for cursor in cursors for statement in cursor.opening()]
    with rolled_back(connection):
        if start and run_groups(connection, [start])[0].error is not None:
            return ""
        acting: list[Statement] = []
        for attempt, text in steps:
            acting += [
                caller_statement(style.caller(attempt.caller)),
                Statement(text, decoded=False),
            ]
        [result] = run_groups(connection, [acting])
        return outcome_of_group(result)


def _rows(rows: Sequence[RowText]) -> str:
    parts = ["\n-- 1. Rows of two tenants, who share nothing, as the owner of the database.\n"]
    for row in rows:
        settings = dict(row.settings)
        parts.append(script.setting(settings) if settings else "")
        parts.append(script.filled(row.sql, None))
        parts.append(script.setting(dict.fromkeys(settings, "")) if settings else "")
    return "".join(parts)


def _opened_cursors(cursors: Sequence[Cursor]) -> str:
    """The cursors on the rows that are changed."""
    opened = [script.numbered(statement) for one in cursors for statement in one.opening()]
    if not opened:
        return ""
    return "".join(["-- A cursor on the row: no policy for SELECT applies to it.\n", *opened])


def _acting(number: int, step: _Step, text: str, style: AsSent) -> str:
    caller = style.caller(step.attempt.caller)
    does = f"{step.attempt.action} {step.attempt.object}"
    lines = [f"\n-- {number}. {caller.label}: {does}\n", _become(caller)]
    lines.append(script.filled(text, None))
    if step.request:
        lines.append(script.comment(f"As a request: {step.request}"))
    return "".join(lines)


def _become(caller: Caller) -> str:
    return script.setting({**caller.all_settings(), "role": caller.role})


def _unknown(id_: str, result: Audit) -> ConfigError:
    ids = [finding.id for finding in result.findings]
    close = get_close_matches(id_, ids, n=_SUGGESTIONS, cutoff=0.5)
    listed = ", ".join(close or ids[:_SUGGESTIONS])
    hint = f"Pass one of: {listed}." if listed else "The audit has no finding."
    return ConfigError(f"no finding {id_!r}", hint=hint)
