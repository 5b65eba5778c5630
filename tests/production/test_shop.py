"""Commands on the database of a shop in use: nobody waits, nothing is written, no value is shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from benchmarks.shop import CLIENTS, Observation, Shop, marks_in, write_project
from supabase_jobs.migrations import locks
from supabase_jobs.report import FORMATS
from tests.fix_cli import Ran, Run, new_runner

# on a quiet machine; the server's sessions say how long they waited for a core
LIMIT_MS = 50
# a lock that is held too long makes clients wait in each run, a pause of the machine in one
RUNS = 3
# rolled back within this time
WRITE_SECONDS = 1.0

READ_ONLY = {
    "plan --access": ("plan", "--access", "--json"),
    "plan": ("plan", "--json"),
    "status": ("status", "--json"),
    "stats": ("stats", "--json"),
    "check-results": ("check-results", "--json"),
}
ROLLED_BACK = {
    "apply --dry-run": ("apply", "--dry-run", "--json"),
    "plan --locks": ("plan", "--locks", "--json"),
    "verify": ("verify", "--json"),
}
WITH_CLIENTS = {"audit": ("audit", "--json")} | READ_ONLY | ROLLED_BACK


@dataclass(frozen=True)
class Beside:
    """A command that ran without clients: what it wrote and reached, and its files."""

    ran: Ran
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    seen: Observation
    folder: Path


@pytest.fixture(scope="module")
def audited(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """`audit --emit`, once for the tests of this module."""
    folder = tmp_path_factory.mktemp("audited")
    write_project(folder)
    emitted = [word for name in ("pgtap", "pytest") for word in ("--emit", name, name)]
    shop.settle()
    before = shop.state()
    with shop.observed() as seen:
        ran = new_runner(folder)("audit", "--json", *emitted, SUPABASE_DB_URL=shop.url)
    assert ran.code == 0, ran.err
    return Beside(ran, before, shop.state(), seen, folder)


@pytest.mark.parametrize(
    "words",
    [
        # it runs for as long as clients make it give way
        pytest.param(words, id=name, marks=[pytest.mark.slow] if name == "verify" else [])
        for name, words in WITH_CLIENTS.items()
    ],
)
def test_no_client_waits(
    cli: Run, shop: Shop, calm: Observation, project: Path, words: tuple[str, ...]
) -> None:
    limits = []
    for _ in range(RUNS):
        with shop.observed(clients=CLIENTS) as seen:
            ran = cli(*words, cwd=project, SUPABASE_DB_URL=shop.url)
        assert ran.code in (0, 1), ran.err
        assert seen.errors == []
        assert marks_in(ran.out + ran.err) == []
        limits.append(_limits(seen, calm))
        if all(limits[-1].values()):
            break
    assert any(all(kept.values()) for kept in limits), limits


def _limits(seen: Observation, calm: Observation) -> dict[str, bool]:
    """Limit, with what was measured → is it kept?"""
    wait = seen.longest_wait(for_own=False)
    most = calm.longest_wait(for_own=True) + LIMIT_MS * seen.stretch
    write, age = seen.longest_write, WRITE_SECONDS * seen.stretch
    return {
        f"a client waits {wait:.0f} of {most:.0f} ms": wait <= most,
        f"a write is open for {write:.2f} of {age:.2f} s": write <= age,
    }


@pytest.mark.parametrize("words", READ_ONLY.values(), ids=READ_ONLY)
def test_nothing_is_written(cli: Run, shop: Shop, project: Path, words: tuple[str, ...]) -> None:
    shop.settle()
    before = shop.state()
    with shop.observed() as seen:
        ran = cli(*words, cwd=project, SUPABASE_DB_URL=shop.url)
    assert ran.code in (0, 1), ran.err
    assert shop.state() == before
    assert modes(seen.locks) <= {"AccessShareLock"}
    assert reached(seen, shop) == []


@pytest.mark.parametrize("words", ROLLED_BACK.values(), ids=ROLLED_BACK)
def test_only_rows_that_are_rolled_back(
    cli: Run, shop: Shop, project: Path, words: tuple[str, ...]
) -> None:
    before = shop.contents()
    with shop.observed() as seen:
        ran = cli(*words, cwd=project, SUPABASE_DB_URL=shop.url)
    assert ran.code in (0, 1), ran.err
    assert shop.contents() == before
    assert seen.longest_write <= WRITE_SECONDS * seen.stretch
    assert reached(seen, shop) == []


def test_an_audit_writes_nothing(audited: Beside) -> None:
    assert audited.after == audited.before


def test_an_audit_only_locks_what_it_copies(audited: Beside) -> None:
    assert modes(audited.seen.locks) == {"AccessShareLock"}


def test_the_copy_calls_functions_that_would_write_elsewhere(audited: Beside, shop: Shop) -> None:
    assert "functions called dblink_exec" in audited.ran.err
    assert reached(audited.seen, shop) == []


def test_no_value_in_generated_tests(audited: Beside) -> None:
    files = [file for name in ("pgtap", "pytest") for file in (audited.folder / name).iterdir()]
    assert {file.suffix for file in files} == {".sql", ".py"}
    assert with_values(files) == []


@pytest.mark.slow
def test_no_value_in_the_baseline(cli: Run, shop: Shop, project: Path) -> None:
    ran = cli("audit", "--update-baseline", cwd=project, SUPABASE_DB_URL=shop.url)
    assert ran.code == 0, ran.err
    assert with_values([project / "supabase" / "access.toml"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["audit", "verify"])
def test_no_value_in_any_format(cli: Run, shop: Shop, project: Path, command: str) -> None:
    files = {form: project / f"report.{form}" for form in FORMATS}
    reports = [("--format", name, "--output", str(file)) for name, file in files.items()]
    ran = cli(command, *chain(*reports), cwd=project, SUPABASE_DB_URL=shop.url)
    assert ran.code in (0, 1), ran.err
    assert marks_in(ran.out + ran.err) == []
    assert with_values(files.values()) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [("audit",), ("verify",), ("plan", "--locks")], ids=" ".join)
def test_no_value_of_a_statement_of_another_session(
    cli: Run, shop: Shop, project: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message about a lock names who holds it; the holder's statement may have values."""
    monkeypatch.setattr(locks, "_growing_pauses", lambda _retries: iter([0.1]))  # not 20 retries
    with shop.connect("nightly report") as holder, holder.transaction():
        holder.execute(
            "lock table public.async_jobs, public.products, auth.users in access exclusive mode"
        )
        holder.execute("select 'support@nightjar.example'")
        ran = cli(*words, cwd=project, SUPABASE_DB_URL=shop.url)
    assert ran.code in (0, 1, 5), ran.err
    assert marks_in(ran.out + ran.err) == []


def modes(locks: Iterable[str]) -> set[str]:
    """The modes of locks."""
    return {lock.split()[0] for lock in locks}


def reached(seen: Observation, shop: Shop) -> list[str]:
    """Everything that left the database: notifications, and sessions on the other database."""
    others = [s.application for s in seen.visitors if s.database == shop.log_name]
    return seen.notifications + others


def with_values(files: Iterable[Path]) -> list[str]:
    """The files that hold a value of the shop, or a mask in place of one."""
    texts = {file.name: file.read_text() for file in files}
    return [name for name, text in texts.items() if marks_in(text) or "***" in text]
