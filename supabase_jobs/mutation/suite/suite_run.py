"""Run a project's suite once for each fault, each time on a copy of the database, several at a
time.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeVar

import psycopg

from supabase_jobs.audit.options import Options as AuditOptions
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import SuiteMutant, SuiteMutation
from supabase_jobs.mutation.suite import render
from supabase_jobs.mutation.suite.command import Suite, SuiteOutcome
from supabase_jobs.mutation.suite.copies import Copies, Copy
from supabase_jobs.mutation.suite.effects import Effect, Effects
from supabase_jobs.mutation.suite.faults import KINDS, SuiteFault, derive_suite_faults, sample
from supabase_jobs.mutation.suite.learned import Learned, learning
from supabase_jobs.mutation.suite.objects import named, project_objects

_LEAST_TIMEOUT, _TIMEOUT_FACTOR = 10.0, 4.0
_SHOWN_LINES = 20
# signals are handled between two waits
_POLL_SECONDS = 0.2

T = TypeVar("T")


@dataclass(frozen=True)
class SuiteOptions:
    """How to run the suite. `tables` narrow the objects; `excluded` are objects of ours, which
    `verify` covers.

    `timeout` in seconds replaces the one that follows from the run without a fault, and limits this
    run too. `selects`: the test files that use the faulty object come first, and the first failed
    test ends the run.
    """

    command: str
    jobs: int
    sample: int | None = None
    seed: int = 0
    kinds: Sequence[str] = KINDS
    tables: Sequence[str] = ()
    excluded: frozenset[str] = frozenset()
    timeout: float | None = None
    selects: bool = True
    audit: AuditOptions = field(default_factory=AuditOptions)


@dataclass(frozen=True)
class Plan:
    """The chosen faults, the number of all of them, the times of the suite without a fault, and the
    number of suites that run at once.
    """

    faults: Sequence[SuiteFault]
    derived: int
    suite_seconds: float
    timeout: float
    jobs: int

    def seconds_left(self, elapsed: float, ended: int) -> float:
        """How long the faults that have not ended may take.

        A fifth of the faults counts with a whole suite each, beside the mean of those that ended:
        the first ones are on tested tables and are killed early, and the suite runs to its end for
        each one that survives.
        """
        share = len(self.faults) / 5
        mean = (elapsed + share * self.suite_seconds / self.jobs) / (ended + share)
        return mean * (len(self.faults) - ended)


class SuiteRun:
    """One run. After an interrupt, `result` has the mutants that ended before it."""

    def __init__(self, connection: Connection, options: SuiteOptions) -> None:
        self._connection, self._options = connection, options
        self._started = time.monotonic()
        self._plan: Plan | None = None
        self._mutants: dict[str, SuiteMutant] = {}
        self._lock = threading.Lock()
        self._learned = Learned()
        # more threads than runs of the suite: another copy is made or audited meanwhile
        self._slots = threading.Semaphore(options.jobs)
        self.notes: list[str] = []

    @property
    def has_started(self) -> bool:
        """Whether the suite has passed without a fault."""
        return self._plan is not None

    def run(
        self,
        begin: Callable[[Plan], Callable[[SuiteMutant], None]],
        checking: Callable[[int, int], None] = lambda _number, _total: None,
    ) -> None:
        """Check the suite, and run it with every fault.

        `checking` is called with the number of the check that starts, and that of all checks.
        `begin` is called when the suite has passed without a fault; what it returns is called after
        each mutant. Raises ConfigError if the suite fails or does not use the database, and what
        `Copies.start` raises.
        """
        options = self._options
        copies = Copies(self._connection)
        if abandoned := copies.remove_abandoned():
            self.notes.append(f"removed {len(abandoned)} copies that an earlier run left behind")
        derived = self._derive()
        faults = sample(derived, options.sample, options.seed)
        suite = Suite(options.command)
        with ExitStack() as stack:
            stack.callback(copies.close)
            stack.callback(suite.close)
            copies.start()
            slowest = self._check_suite(suite, copies, checking)
            timeout = options.timeout or max(_LEAST_TIMEOUT, _TIMEOUT_FACTOR * slowest)
            # stable: the most dangerous faults of the objects with tests come first
            faults.sort(key=lambda fault: not self._learned.files(fault.target))
            self._plan = Plan(
                faults=faults,
                derived=len(derived),
                suite_seconds=slowest,
                timeout=timeout,
                jobs=self._options.jobs,
            )
            for statement in sorted(copies.missing_settings):
                self.notes.append(
                    f"the copies lack a setting, which only a superuser can make: {statement}"
                )
            advance = begin(self._plan)
            effects = Effects(stack.enter_context(copies.copy()), options.audit)
            self._run_all(suite, copies, effects, timeout, advance)

    def result(self, database: str = "") -> SuiteMutation:
        """The result so far."""
        assert self._plan is not None  # noqa: S101  see has_started
        plan, options = self._plan, self._options
        order = [fault.fault.id for fault in plan.faults]
        return SuiteMutation(
            mutants=tuple(self._mutants[name] for name in order if name in self._mutants),
            selected=len(order),
            derived=plan.derived,
            seed=options.seed if options.sample is not None else None,
            command=options.command,
            suite_seconds=plan.suite_seconds,
            timeout=plan.timeout,
            jobs=options.jobs,
            untouched=self._untouched(plan),
            seconds=time.monotonic() - self._started,
            database=database,
        )

    def _untouched(self, plan: Plan) -> frozenset[str]:
        """The objects that no test names, if the suite told which it names."""
        if not self._learned:
            return frozenset()
        faults = [fault for fault in plan.faults if not self._learned.files(fault.target)]
        return frozenset(fault.fault.object for fault in faults)

    def _derive(self) -> list[SuiteFault]:
        options = self._options
        objects = [
            one for one in project_objects(self._connection) if one.name not in options.excluded
        ]
        if options.tables:
            objects = named(objects, options.tables)
        faults = derive_suite_faults(self._connection, objects, options.kinds)
        if not faults:
            raise ConfigError(
                "there is no fault to plant: the database has no policies, privileges or functions"
                " of the project",
                hint="Apply the project's migrations first. --table names objects that other"
                " options leave out.",
            )
        return faults

    def _check_suite(
        self, suite: Suite, copies: Copies, checking: Callable[[int, int], None]
    ) -> float:
        """The seconds of the slowest run without a fault. Raises ConfigError if one fails."""
        checking(1, 2)
        with copies.copy() as copy, learning() as learned:
            variables = learned.variables if self._options.selects else {}
            first = suite.run(copy, "", self._options.timeout, variables)
            self._learned = learned.result()
            if not first.passed:
                raise _failed(suite.command, first, "fails without a fault")
            if not copies.sessions([copy]):
                raise ConfigError(
                    "the suite passes without a connection to the copy of the database:"
                    f" {suite.command}\n{_last_lines(first)}",
                    hint="It must run a test, and connect to the URL in SUPABASE_DB_URL or"
                    " DATABASE_URL, or by the PG… variables.",
                )
        checking(2, 2)
        jobs = self._options.jobs
        runs: list[tuple[object, ...]] = [(suite, copies, {})] * jobs
        if len(self._learned.words) > 1:
            runs.append((suite, copies, self._learned.reversed))
        outcomes = _parallel(suite, jobs, self._run_unmodified, runs)
        if len(outcomes) > jobs and not outcomes.pop().passed:
            self._learned = Learned()
            self.notes.append(
                "the suite fails if its files run in another order, so each run has all tests in"
                " the order of the suite"
            )
        for outcome in outcomes:
            if not outcome.passed:
                what = "passes once, and fails when it runs again" + (
                    f", {jobs} at a time" if jobs > 1 else ""
                )
                raise _failed(suite.command, outcome, what)
        return max(outcome.seconds for outcome in [first, *outcomes])

    def _run_unmodified(
        self, suite: Suite, copies: Copies, variables: Mapping[str, str]
    ) -> SuiteOutcome:
        with copies.copy() as copy:
            return suite.run(copy, "", self._options.timeout, variables)

    def _run_all(
        self,
        suite: Suite,
        copies: Copies,
        effects: Effects,
        timeout: float,
        advance: Callable[[SuiteMutant], None],
    ) -> None:
        assert self._plan is not None  # noqa: S101  set by run

        def run(fault: SuiteFault) -> None:
            mutant = self._mutant(fault, suite, copies, effects, timeout)
            if not suite.is_stopped:  # else it was killed
                with self._lock:
                    self._mutants[mutant.id] = mutant
                    advance(mutant)

        _parallel(suite, self._options.jobs + 1, run, [(fault,) for fault in self._plan.faults])

    def _mutant(
        self, fault: SuiteFault, suite: Suite, copies: Copies, effects: Effects, timeout: float
    ) -> SuiteMutant:
        started = time.monotonic()
        with copies.copy() as copy:
            error = _plant(copy, fault)
            if error is not None:
                return _describe(fault, "rejected", (error,), started)
            with self._slots:
                order = self._learned.order(fault.target)
                outcome = suite.run(copy, fault.fault.id, timeout, order)
        if not outcome.passed:
            return _describe(fault, "killed", outcome.failed_tests, started)
        with copies.copy() as copy:  # the suite may have committed something
            _plant(copy, fault)
            effect = effects.observe(copy, fault.target)
        return _survivor(fault, effect, started)


def _parallel(
    suite: Suite, jobs: int, function: Callable[..., T], arguments: Sequence[tuple[object, ...]]
) -> list[T]:
    """Call a function in several threads. At the first error, and on a signal, the suite is stopped
    everywhere.
    """
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(copy_context().run, function, *each) for each in arguments]
        try:
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, timeout=_POLL_SECONDS)
                for future in done:
                    future.result()
        except BaseException:
            suite.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _plant(copy: Copy, fault: SuiteFault) -> str | None:
    """Commit a fault; the error if the database rejects it."""
    with connect(copy.url) as connection:
        try:
            with connection.transaction():
                connection.execute("set local search_path = ''")
                connection.execute(fault.fault.sql.encode())
        except psycopg.Error as error:
            if connection.broken:
                raise
            return sqlstate_and_message(error)
    return None


def _describe(fault: SuiteFault, state: str, by: tuple[str, ...], started: float) -> SuiteMutant:
    planted = fault.fault
    seconds = time.monotonic() - started
    return SuiteMutant(
        id=planted.id,
        object=planted.object,
        kind=fault.kind,
        sentence=fault.sentence,
        sql=planted.sql,
        state=state,
        by=by,
        seconds=seconds,
    )


def _survivor(fault: SuiteFault, effect: Effect, started: float) -> SuiteMutant:
    planted = fault.fault
    tests = {}
    if effect.test is not None:
        tests = {
            "pytest": render.pytest_test(effect.test, fault.sentence),
            "pgtap": render.pgtap_test(effect.test, planted.object, fault.sentence),
        }
    seconds = time.monotonic() - started
    return SuiteMutant(
        id=planted.id,
        object=planted.object,
        kind=fault.kind,
        sentence=fault.sentence,
        sql=planted.sql,
        state=effect.state,
        by=(),
        seconds=seconds,
        tests=tests,
        note=effect.note,
    )


def _last_lines(outcome: SuiteOutcome) -> str:
    lines = outcome.output.rstrip().splitlines()[-_SHOWN_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (no output)"


def _failed(command: str, outcome: SuiteOutcome, what: str) -> ConfigError:
    ended = (
        f"exit code {outcome.code}"
        if outcome.code is not None
        else f"stopped after {outcome.seconds:.1f} s"
    )
    return ConfigError(
        f"the suite {what} ({ended}): {command}\n{_last_lines(outcome)}",
        hint="The suite must pass on an unmodified copy of the database, twice and several at a"
        " time (--jobs 1: one).",
    )
