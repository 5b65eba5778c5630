"""The runner with a server that is played: what is sent, in which order, and what probes receive."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import psycopg
import pytest

from supabase_jobs.database.batch import Answer, GroupResult, Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.session import batch_limit, frame, runner
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import NO_LIMIT, Deadline, DeadlineError
from supabase_jobs.session.frame import Frame, Undo
from supabase_jobs.session.impersonation import Impersonation
from supabase_jobs.session.runner import CallerProbe, OwnerProbe, Runner, probes_of
from supabase_jobs.session.savepoint import Savepoint
from supabase_jobs.session.steps import Steps

OWNER = ("postgres",)
IMPERSONATION = Impersonation({}, {}, "none", (), connection=cast(Connection, None), caller=OWNER)


class Server:
    """Answers each statement: `fails` are texts that raise an error, `skips` numbers of batches
    whose second probe comes too late.
    """

    def __init__(self, fails: Sequence[str] = (), skips: Sequence[int] = ()) -> None:
        self.fails, self.skips = fails, skips
        self.batches: list[list[list[str]]] = []

    def run_groups(
        self, _connection: Connection, groups: Sequence[Sequence[Statement]]
    ) -> list[GroupResult]:
        self.batches.append([[statement.sql for statement in group] for group in groups])
        checks = 0
        results = []
        for group in groups:
            answers: list[Answer] = []
            error: psycopg.Error | None = None
            for statement in group:
                if statement is batch_limit.CHECK:
                    checks += 1
                    if checks > 1 and len(self.batches) in self.skips:
                        error = psycopg.errors.DivisionByZero()
                        break
                if statement.sql in self.fails:
                    error = psycopg.errors.RaiseException(statement.sql)
                    break
                answers.append(_answer(statement))
            results.append(GroupResult(tuple(answers), error))
        return results

    @property
    def sent(self) -> list[str]:
        """The statements of all batches."""
        return [text for batch in self.batches for group in batch for text in group]


def _answer(statement: Statement) -> Answer:
    if statement.params is None or "reset" in statement.sql:
        return Answer(((statement.sql,),), 1)
    params = cast(Sequence[Any], statement.params)
    return Answer(((*OWNER, params[-1]),), 1)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    def start(**answers: Any) -> Server:
        made = Server(**answers)
        monkeypatch.setattr(frame, "run_groups", made.run_groups)
        return made

    return start


class Tried:
    """A statement of a caller; `result` is what it reads."""

    def __init__(self, caller: Caller, text: str) -> None:
        self.caller, self.statements = caller, [Statement(text)]
        self.result: GroupResult | None = None

    def read(self, result: GroupResult) -> None:
        self.result = result


def run(*probes: runner.Probe, deadline: Deadline = NO_LIMIT) -> None:
    Runner(IMPERSONATION, deadline).run(probes)


ANON, USER = Caller("anon", label="anon"), Caller("authenticated", label="user")


def test_each_statement_runs_from_the_same_state(server: Callable[..., Server]) -> None:
    played = server()
    tried = [Tried(ANON, "select 1"), Tried(ANON, "select 2")]
    run(*probes_of(tried, 10))
    undo = runner.AS_CALLER.undo.sql
    assert [group for group in played.batches[0] if undo in group] == [
        [undo, "select 1"],
        [undo, "select 2"],
    ]
    assert [one.result and one.result.answers[0].rows for one in tried] == [
        (("select 1",),),
        (("select 2",),),
    ]


def test_probes_share_a_round_trip(server: Callable[..., Server]) -> None:
    played = server()
    run(*probes_of([Tried(ANON, "a"), Tried(USER, "b"), Tried(USER, "c")], 1))
    assert len(played.batches) == 1


def test_probes_have_one_caller_and_a_limited_number() -> None:
    tried = [Tried(caller, "x") for caller in (ANON, ANON, ANON, USER, ANON)]
    probes = probes_of(tried, 2)
    assert [(probe.caller.label, len(probe.tried)) for probe in probes] == [
        ("anon", 2),
        ("anon", 1),
        ("user", 1),
        ("anon", 1),
    ]


def test_failed_statement_ends_no_other(server: Callable[..., Server]) -> None:
    server(fails=["a"])
    tried = [Tried(ANON, "a"), Tried(ANON, "b")]
    run(*probes_of(tried, 10))
    first, second = (cast(GroupResult, one.result) for one in tried)
    assert (first.answers, str(first.error)) == ((), "a")
    assert second.error is None


def test_role_that_was_not_set_is_an_error(server: Callable[..., Server]) -> None:
    server()
    impersonation = Impersonation({}, {}, "none", (), connection=cast(Connection, None), caller=())
    with pytest.raises(SupabaseJobsError, match="could not set the role anon"):
        Runner(impersonation, NO_LIMIT).run([_WithWrongRole(ANON, [])])


class _WithWrongRole(CallerProbe):
    """A probe whose first answer is that of the owner."""

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        steps = super().steps(impersonation)
        next(steps)
        yield [[Statement("select 1")]]
        steps.send([GroupResult((Answer((("postgres",),), 1),))])


def test_probe_may_have_several_steps(server: Callable[..., Server]) -> None:
    played = server()

    class Twice:
        """Sends a second statement that follows from the first."""

        shown = ""

        def steps(self, _impersonation: Impersonation) -> Steps[None]:
            [first] = yield [[Statement("first")]]
            [second] = yield [[Statement(f"after {first.answer().rows[0][0]}")]]
            self.shown = second.answer().rows[0][0]

    probe = Twice()
    run(probe)
    assert probe.shown == "after first"
    assert len(played.batches) == 2


def test_probes_left_out_of_a_batch_run_in_the_next(server: Callable[..., Server]) -> None:
    played = server(skips=[1])
    tried = [Tried(ANON, "a"), Tried(USER, "b"), Tried(ANON, "c")]
    run(*probes_of(tried, 10))
    assert all(one.result is not None for one in tried)
    assert len(played.batches) == 2
    assert played.sent.count("a") == 1


def test_error_of_a_probe_is_raised_once_those_before_it_are_complete(
    server: Callable[..., Server],
) -> None:
    server()

    class Fails:
        """Finds a result that shows nothing."""

        def steps(self, _impersonation: Impersonation) -> Steps[None]:
            yield [[Statement("x")]]
            raise psycopg.errors.QueryCanceled

    before, behind = Tried(ANON, "a"), Tried(ANON, "b")
    with pytest.raises(psycopg.errors.QueryCanceled):
        run(CallerProbe(ANON, [before]), Fails(), CallerProbe(ANON, [behind]))
    assert before.result is not None
    assert behind.result is None


def test_deadline_ends_the_run(server: Callable[..., Server]) -> None:
    played = server()
    with pytest.raises(DeadlineError):
        run(CallerProbe(ANON, [Tried(ANON, "a")]), deadline=Deadline(0.0))
    assert played.batches == []


IN_USE = Frame(
    before=(Statement("insert"),),
    undo=Undo((Statement("rollback"), Statement("begin")), releases_locks=True),
)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction of a frame in use has two of the probes below."""
    monkeypatch.setattr(frame, "SHORT", 12)


def test_a_batch_on_a_database_in_use_is_several_short_transactions(
    server: Callable[..., Server],
) -> None:
    """Each inserts the rows, and has few statements of probes."""
    played = server()
    tried = [Tried(ANON, text) for text in "abcd"]
    Runner(IMPERSONATION, NO_LIMIT, IN_USE).run(probes_of(tried, 1))
    assert len(played.batches) == 1
    own = [text for text in played.sent if text in ("begin", "insert", "rollback", *"abcd")]
    assert "".join(text[0] for text in own) == "rbiabrbicdrb"
    assert [one.result and one.result.answers[0].rows for one in tried] == [
        ((text,),) for text in "abcd"
    ]


def test_what_a_batch_repeats_is_prepared_once(server: Callable[..., Server]) -> None:
    played = server()
    Runner(IMPERSONATION, NO_LIMIT).run(probes_of([Tried(ANON, text) for text in "abcde"], 1))
    callers = [text for text in played.sent if "supabase_jobs_caller_1" in text]
    assert callers[0].startswith("prepare supabase_jobs_caller_1 (text, text) as select")
    assert "set_config($1, $2, true)" in callers[0]
    assert callers[1:-1] == ["execute supabase_jobs_caller_1 (%s, %s)"] * 5
    assert callers[-1] == "deallocate supabase_jobs_caller_1"


def test_statements_of_a_runner_that_run_once_in_a_batch(server: Callable[..., Server]) -> None:
    played = server()

    class Preparing(Runner):
        """Reads a time after the rows of each transaction."""

        times = 0

        def prepare(self) -> Sequence[Statement]:
            return [Statement("prepare")]

        def first(self) -> Sequence[Statement]:
            return [Statement("time")]

        def forget(self) -> Sequence[Statement]:
            return [Statement("deallocate")]

        def begun(self, answers: Sequence[Answer]) -> None:
            assert [answer.rows for answer in answers] == [(("time",),)]
            self.times += 1

    preparing = Preparing(IMPERSONATION, NO_LIMIT, IN_USE)
    preparing.run(probes_of([Tried(ANON, text) for text in "abcd"], 1))
    shown = ("insert", "prepare", "time", "rollback", "deallocate")
    own = [text for text in played.sent if text in shown]
    assert own == ["rollback", *shown[:3], "rollback", "insert", "time", "rollback", "deallocate"]
    assert preparing.times == 2


def test_rows_that_are_refused_later_keep_what_was_read_before(
    server: Callable[..., Server],
) -> None:
    """The second transaction of a batch meets a lock."""
    played = server()
    tried = [Tried(ANON, text) for text in "abcd"]

    def run_groups(
        connection: Connection, groups: Sequence[Sequence[Statement]]
    ) -> list[GroupResult]:
        results = played.run_groups(connection, groups)
        inserting = [n for n, group in enumerate(groups) if IN_USE.before[0] in group]
        if len(inserting) > 1:
            results[inserting[1]] = GroupResult((), psycopg.errors.LockNotAvailable())
        return results

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame, "run_groups", run_groups)
        patch.setattr(frame, "_PAUSES", (0.0,))
        Runner(IMPERSONATION, NO_LIMIT, IN_USE).run(probes_of(tried, 1))
    assert all(one.result is not None for one in tried)
    assert [played.sent.count(text) for text in "abcd"] == [1, 1, 2, 2]


def test_owner_probe_keeps_its_results(server: Callable[..., Server]) -> None:
    server(fails=["b"])
    probe = OwnerProbe([Statement("a"), Statement("b")])
    run(probe)
    assert [result.error is None for result in probe.results] == [True, False]


def test_savepoint_writes_each_of_its_statements() -> None:
    point = Savepoint("here")
    assert [point.save.sql, point.undo.sql, point.release.sql] == [
        "savepoint here",
        "rollback to savepoint here",
        "release savepoint here",
    ]
    assert point.keep == (point.release, point.save)
    assert point.end == (point.undo, point.release)
