"""Repeat the cells of tables through the API, and compare the outcomes with those of SQL.

What a request writes is committed, so the rows are those of `committed`: marked, restored after
each request that wrote, and deleted at the end. SQL names the rows as the requests do, by their
keys, and not by cursors.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from supabase_jobs.api import marked_ids
from supabase_jobs.api.endpoint import Endpoint
from supabase_jobs.api.sender import NO_SUCH_TABLE, Sender, require_client
from supabase_jobs.audit import access, callers
from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.committed import CommittedRows, marked
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE, Attempt
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.views_and_functions import Bypasses
from supabase_jobs.audit.scene import REQUEST_SETTINGS, insert_world
from supabase_jobs.audit.selection import selected
from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Audit, AuditFinding, Id, NotTested, Severity, as_sql
from supabase_jobs.outcomes import HIDDEN, ROWS
from supabase_jobs.session import impersonation
from supabase_jobs.session.deadline import Deadline, DeadlineError
from supabase_jobs.session.outcome import outcome_of_count, outcome_of_error
from supabase_jobs.session.request import Request
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.settings import SETTINGS

_ROLE_SETTINGS = sql_file(Path(__file__).with_name("catalog") / "role_settings.sql")
_BEGIN = (Statement(SETTINGS), *REQUEST_SETTINGS)
# the API serves no such table, or not its schema; the last is PostgreSQL's undefined_table, of
# older versions
_UNKNOWN = (NO_SUCH_TABLE, "PGRST106", "42P01")
_OTHERS_HELP = "Its outcomes in SQL are in the matrix."
# of a response, by default
_MAX_ROWS = 1000
_WHOSE = {
    "none": "a row",
    "own": "an own row",
    "group": "a row of the group",
    "other": "another's row",
}
_HELP = "Compare it in a database of your own, where nothing is lost."


@dataclass(frozen=True)
class _Cell:
    """An attempt that can be a request, and its outcome in SQL.

    `marks` are texts of rows that a view or function hides from the caller: its outcome is `rows`
    if one is in the response.
    """

    object: str
    schema: str
    action: str
    described: str
    caller: Persona
    request: Request
    in_sql: str
    marks: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether the request may change rows."""
        return self.action in (INSERT, UPDATE, DELETE)


@dataclass(frozen=True)
class _Difference:
    """A cell whose outcome through the API is not that in SQL."""

    cell: _Cell
    outcome: str


def compare(
    connection: Connection, guard: Connection, options: Options, endpoint: Endpoint, audited: Audit
) -> Audit:
    """Send the cells of the tables as requests, and add an error for each action whose outcomes
    differ from SQL.

    `guard` is a second connection to the same database, which holds the lock against a second run.
    `audited` is the result of `audit` on this database. Raises ConfigError (2) if the API refuses
    the keys or serves another database, if nothing can be committed, or if an extra is missing,
    BusyError (5) if another run is in progress, ConnectError (7) if the API does not answer.
    """
    require_client()
    started = time.monotonic()
    deadline = Deadline(started + LIMITS.seconds)
    with endpoint.client() as client, guard.transaction():
        marked_ids.lock(guard)
        with rolled_back(connection, Statement(SETTINGS)):
            world = insert_world(connection, options, marked())
            everyone = callers.find(world, options.files.configuration.callers)
            rows = CommittedRows.of(connection, world, _BEGIN)
        with rows.committed(guard):
            rows.prune()
            cells, untested = _in_sql(connection, rows, everyone, options, deadline)
            run = _Run(Sender(endpoint, client), rows, deadline)
            differences = run.send(cells)
        left = rows.remaining()
    findings = [*_findings(differences, _settings(connection)), *_left(left)]
    return replace(
        audited,
        findings=(*findings, *audited.findings),
        not_tested=(*audited.not_tested, *_left_out(rows, options), *untested, *run.not_tested),
        api_cells=run.sent,
        milliseconds=audited.milliseconds + (time.monotonic() - started) * 1000,
    )


def _in_sql(
    connection: Connection,
    rows: CommittedRows,
    everyone: Sequence[Persona],
    options: Options,
    deadline: Deadline,
) -> tuple[list[_Cell], list[NotTested]]:
    """The outcomes in SQL of statements that name rows as requests do; all is rolled back."""
    relations = [
        r
        for r in rows.world.plan.catalog.reachable
        if selected(r, options) and r.label not in rows.left_out
    ]
    with rolled_back(connection, Statement(SETTINGS)):
        rows.prepare()
        acting = impersonation.begin(connection, "audit", (), (), {})
        probes = Probes(acting, rows.world, everyone, deadline)
        probes.run_by_key([r for r in relations if not r.is_storage])
        tried: list[Bypass] = []
        views = [r for r in relations if r.kind in ("v", "m")]
        around = Bypasses(acting, rows.world, everyone, probes, tried, compares=False)
        around.run(views, _callable(rows, options))
    cells, unmarked = [_of_bypass(b, options) for b in tried if _is_comparable(b)], set[str]()
    for attempt in probes.attempts:
        outcome = _outcome_in_sql(attempt)
        if outcome is None:
            continue
        if attempt.action in (INSERT, UPDATE) and not rows.stays_marked(attempt):
            unmarked.add(f"{attempt.label}: {attempt.action} {attempt.column}".rstrip())
        else:
            cells.append(_of_attempt(attempt, outcome, options))
    why = "through the API: no column would show any more that the row comes from an audit"
    return cells, [NotTested(name, why, _HELP) for name in sorted(unmarked)]


def _callable(rows: CommittedRows, options: Options) -> list[Function]:
    """The functions that requests can call without changing anything."""
    if not options.functions or options.tables:
        return []
    exposed = access.reachable_functions(rows.world.plan.catalog)
    return [f for f in exposed if f.volatility != "v" and _has_names(f) and _in_schemas(f, options)]


def _has_names(function: Function) -> bool:
    """Whether a request can name each argument."""
    count = len(function.argument_types)
    return len(function.argument_names) >= count and all(function.argument_names[:count])


def _in_schemas(function: Function, options: Options) -> bool:
    return not options.schemas or function.schema in options.schemas


def _is_comparable(bypass: Bypass) -> bool:
    """Whether one request has the outcome of an attempt on a view or function; requests do not
    change views.
    """
    reads = bypass.action in (SELECT, "call")
    return reads and bool(bypass.marks) and not isinstance(bypass.error, INCONCLUSIVE_ERRORS)


def _of_bypass(bypass: Bypass, options: Options) -> _Cell:
    in_sql = outcome_of_count(len(bypass.said.shown)) if bypass.sent else bypass.outcome
    if bypass.error is not None:
        in_sql = outcome_of_error(bypass.error)
    request = bypass.request(options.served[0])
    assert request is not None  # noqa: S101  only writes to views have none
    return _Cell(
        object=bypass.label,
        schema=bypass.object.schema,
        action=bypass.action,
        described=bypass.action,
        caller=bypass.caller,
        request=request,
        in_sql=in_sql,
        marks=bypass.marks,
    )


def _of_attempt(attempt: Attempt, in_sql: str, options: Options) -> _Cell:
    return _Cell(
        object=attempt.label,
        schema=attempt.relation.schema,
        action=attempt.action,
        described=f"{attempt.does} of {_WHOSE[attempt.whose]}",
        caller=attempt.caller,
        request=attempt.request(options.served[0]),
        in_sql=in_sql,
    )


def _outcome_in_sql(attempt: Attempt) -> str | None:
    """The outcome of the statement alone, whatever it means for a policy; None if it cannot be
    compared.
    """
    if attempt.sent is None or isinstance(attempt.error, INCONCLUSIVE_ERRORS):
        return None
    if attempt.error is not None:
        return outcome_of_error(attempt.error)
    if not attempt.answers:
        return attempt.outcome  # denied by a missing privilege, without a statement
    return outcome_of_count(attempt.answers[attempt.at].count)


class _Run:
    """Sends cells, and restores the rows after those that wrote."""

    def __init__(
        self,
        sender: Sender,
        rows: CommittedRows,
        deadline: Deadline,
    ) -> None:
        self._sender, self._rows, self._deadline = sender, rows, deadline
        self.sent = 0
        self.not_tested: list[NotTested] = []

    def send(self, cells: Sequence[_Cell]) -> list[_Difference]:
        """Send the cells, first those that write nothing; those with an outcome that differs."""
        reads = [c for c in cells if not c.writes]
        writes = sorted((c for c in cells if c.writes), key=lambda c: c.in_sql == ROWS)
        if not any(cell.in_sql == ROWS for cell in reads):
            raise ConfigError(
                "no caller reads a row of these tables in SQL, so nothing would show that the API"
                " serves this database",
                hint="Leave out --schema and --table, or grant SELECT to service_role.",
            )
        differences: list[_Difference] = []
        try:
            differences += self._send(reads)
            self._require_same_database(reads, differences)
            differences += self._send(writes)
        except DeadlineError:
            why = f"the comparison with the API was stopped after {LIMITS.seconds} seconds"
            self.not_tested.append(
                NotTested("the API", why, "Compare a part with --schema or --table.")
            )
        return differences

    def _send(self, cells: Iterable[_Cell]) -> Iterator[_Difference]:
        for cell in cells:
            self._deadline.check()
            outcome = self._outcome(cell)
            self.sent += 1
            if cell.writes and outcome == ROWS:
                self._rows.restore()
            if outcome != cell.in_sql:
                yield _Difference(cell, outcome)

    def _require_same_database(
        self, reads: Sequence[_Cell], differences: Sequence[_Difference]
    ) -> None:
        """Raise ConfigError if the API shows no row of this database: then `hidden` would match
        without a proof.
        """
        shown = [cell for cell in reads if cell.in_sql == ROWS]
        outcomes = {id(difference.cell): difference.outcome for difference in differences}
        if all(outcomes.get(id(cell), cell.in_sql) in (HIDDEN, *_UNKNOWN) for cell in shown):
            raise ConfigError(
                f"the API at {self._sender.url} shows no row that was just inserted in this"
                " database",
                hint="Pass the URL of the API that serves this database, or reload the API's"
                " schema cache.",
            )

    def _outcome(self, cell: _Cell) -> str:
        """Send the request of a cell; return its outcome, or the code of the error."""
        reply = self._sender.send(cell.request)
        if not cell.marks or reply.outcome not in (ROWS, HIDDEN):
            return reply.outcome
        if any(mark in reply.text for mark in cell.marks):
            return ROWS
        if reply.text.count("},") < _MAX_ROWS - 1:
            return HIDDEN
        why = f"through the API: the row may be behind the first {_MAX_ROWS}"
        self.not_tested.append(NotTested(cell.object, why, _HELP))
        return cell.in_sql


# Findings


def _findings(differences: Sequence[_Difference], settings: str) -> Iterator[AuditFinding]:
    """One error for each object and action, with the first cell as an example."""

    def subject(difference: _Difference) -> tuple[str, str]:
        return difference.cell.object, difference.cell.action

    for (label, action), group in groupby(sorted(differences, key=subject), key=subject):
        first, *others = group
        cell = first.cell
        message = (
            f"{cell.described} as {cell.caller.label} is {first.outcome} through"
            f" the API, and {cell.in_sql} in SQL"
        )
        if others:
            message += (
                f"; so are {len(others)} other cells" if len(others) > 1 else "; so is another cell"
            )
        cause, fix = _cause(first.outcome, cell.schema, settings)
        yield AuditFinding(
            id=Id("api", label, action),
            severity=Severity.ERROR,
            object=label,
            message=message,
            fix=as_sql(fix),
            cause=cause,
            kind="api",
        )


def _cause(outcome: str, schema: str, settings: str) -> tuple[str, str]:
    """(cause, fix)."""
    if outcome == "PGRST106":
        return f"the API does not expose the schema {schema}", (
            "Expose the schema in the settings of the API, or leave it out of [api] schemas in"
            " supabase/config.toml."
        )
    if outcome in _UNKNOWN:
        return "the API does not know the table", "notify pgrst, 'reload schema';"
    cause = "the API uses another role or setting than SQL, or a proxy changes the requests"
    fix = (
        "Check the db-pre-request function of the API, the settings of its roles, and"
        " any proxy before it."
    )
    return f"{cause}; settings of roles: {settings}" if settings else cause, fix


def _settings(connection: Connection) -> str:
    """The settings that requests have and the connection's role has not."""
    return "; ".join(f"{role} {made}" for role, made in _ROLE_SETTINGS.rows(connection))


def _left(remaining: Mapping[str, int]) -> Iterator[AuditFinding]:
    """The differences from before the run, although every marked row is gone."""
    for label, number in remaining.items():
        rows = (
            f"{abs(number)} row{'' if abs(number) == 1 else 's'}"
            f" {'more' if number > 0 else 'fewer'}"
        )
        message = (
            f"{rows} than before the requests: a trigger wrote or deleted them, or another session"
        )
        fix = as_sql(f"Look for them in {label}, and for the triggers that write there.")
        yield AuditFinding(
            id=Id("api-rows", label),
            severity=Severity.ERROR,
            object=label,
            message=message,
            fix=fix,
            cause="a request through the API",
            kind="api-rows",
        )


def _left_out(rows: CommittedRows, options: Options) -> Iterator[NotTested]:
    """Tables, views, functions and services of which no request was sent."""
    catalog = rows.world.plan.catalog
    reachable = [r for r in catalog.reachable if selected(r, options)]
    for relation in reachable:
        if relation.label in rows.left_out:
            yield NotTested(
                relation.label, f"through the API: {rows.left_out[relation.label]}", _HELP
            )
        elif relation.kind == "f" or (relation.is_storage and relation.policies):
            yield NotTested(
                relation.label,
                "through the API: its requests are not those of tables",
                _OTHERS_HELP,
            )
        elif relation.kind == "v" and relation.updatable:
            yield NotTested(
                relation.label,
                "through the API: writes to a view, whose rows have no key",
                _OTHERS_HELP,
            )
    if options.functions and not options.tables:
        called = _callable(rows, options)
        for function in access.reachable_functions(catalog):
            if function not in called and _in_schemas(function, options):
                changes = function.volatility == "v"
                why = (
                    "what a call changes would be committed"
                    if changes
                    else "its arguments have no names"
                )
                yield NotTested(function.signature, f"through the API: {why}", _OTHERS_HELP)
