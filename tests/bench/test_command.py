"""`scripts/bench` with few rows: output, files, exit codes, and signals."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks import __main__ as bench
from benchmarks import apply, hosted, partitions, programs, queries, verify, workers, writes
from benchmarks.databases import Databases
from benchmarks.figures import Figure
from benchmarks.programs import CompletedCommand, Programs
from tests.programs import supabase_cli

pytestmark = pytest.mark.slow


def run(*words: str) -> Result:
    """Run the command in this process, with 2,000 jobs."""
    result = CliRunner().invoke(bench.main, ["--rows", "2000", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def figures(document: dict[str, Any], subject: str) -> dict[str, dict[str, Any]]:
    """The figures of a subject by name."""
    [measured] = [s["figures"] for s in document["subjects"] if s["name"] == subject]
    return {figure["name"]: figure for figure in measured}


def only(monkeypatch: pytest.MonkeyPatch, figure: Figure) -> None:
    """Replace the subjects by one that returns this figure."""

    def measure(_databases: Databases) -> list[Figure]:
        return [figure]

    monkeypatch.setattr(bench, "SUBJECTS", {"queries": measure})


def test_subjects_that_use_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(queries, "SECONDS", 0.0)
    monkeypatch.setattr(workers, "REPEAT", 1)
    monkeypatch.setattr(writes, "REPEAT", 1)
    result = run(
        "--only", "queries,owners,cleanup,workers,writes", "--json", "--output", str(tmp_path)
    )
    document = json.loads(result.stdout)
    assert set(document) == {"rows", "machine", "subjects", "ok"}
    assert set(document["machine"]) == {"system", "cores", "load_before", "postgresql", "python"}
    assert json.loads((tmp_path / "performance.json").read_text(encoding="utf-8")) == document
    # written by this test
    assert ET.parse(tmp_path / "performance.svg").getroot().tag.endswith("svg")  # noqa: S314
    every = [figure for subject in document["subjects"] for figure in subject["figures"]]
    assert all({"name", "value", "unit"} <= set(figure) for figure in every)
    assert all(("limit" in figure) == ("ok" in figure) for figure in every)
    assert document["ok"] == all(figure.get("ok", True) for figure in every)
    assert result.exit_code == (0 if document["ok"] else 1)
    # independent of the size and of the load of the machine
    assert len(figures(document, "queries")) == 27
    assert len(figures(document, "owners")) == 3
    assert figures(document, "cleanup")["cleanup: deletes exactly the expired jobs"]["ok"]
    assert {name: figure.get("limit") for name, figure in figures(document, "writes").items()} == {
        "insert of 500 jobs: time relative to a table without the size checks": 1.05,
        "insert of one job: time relative to a table without the size checks": 1.05,
        "heartbeat": None,
        "heartbeat with new progress": None,
        "heartbeat: time relative to an update of the job": None,
    }
    for number in (1, 10):
        for calls in ("", ", in one call"):
            assert figures(document, "workers")[
                f"8 workers, {number} at a time{calls}: each claimed exactly once"
            ]["ok"]


def test_partitions_are_measured_next_to_a_tenth_of_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries, "MIN_RUNS", 1)
    monkeypatch.setattr(partitions, "SECONDS", 0.0)
    monkeypatch.setattr(workers, "WORKERS", 2)
    monkeypatch.setattr(workers, "REPEAT", 1)
    monkeypatch.setattr(writes, "REPEAT", 1)
    document = json.loads(run("--partitions", "--rows", "20000", "--json").stdout)
    measured = figures(document, "partitions")
    facts = {name: figure["ok"] for name, figure in measured.items() if figure["unit"] == "yes/no"}
    assert len(facts) == 10 + 3
    assert all(facts.values()), facts
    assert measured["drop of an expired partition"]["detail"] == "6,000 jobs of 20,000"
    assert "2,000 jobs" in measured["active jobs of a guest, as guest: median time"]["detail"]


def test_subject_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    """mutate takes long and is replaced; it has its own tests."""
    supabase_jobs = Programs.supabase_jobs

    def without_mutate(self: Programs, *words: str, url: str | None = None) -> CompletedCommand:
        if words[0] == "mutate":
            return CompletedCommand(0, '{"total": 200}', 200 * 12)
        return supabase_jobs(self, *words, url=url)

    monkeypatch.setattr(Programs, "supabase_jobs", without_mutate)
    monkeypatch.setattr(verify, "_REPEAT", 1)
    result = run("--only", "verify", "--json")
    measured = figures(json.loads(result.stdout), "verify")
    assert measured["verify: probes"]["ok"]
    assert measured["verify reports no error, and no mutant survives"]["ok"]
    assert not measured["mutate: time of a mutant"]["ok"]
    assert result.exit_code == 1


def test_subject_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    supabase_cli(3)
    monkeypatch.setattr(apply, "_REPEAT", 1)
    measured = figures(json.loads(run("--only", "apply", "--json").stdout), "apply")
    assert (
        measured["apply without pending files: time relative to `supabase db push`"]["limit"] == 0.4
    )
    assert len(measured) == 3


def test_subject_hosted(monkeypatch: pytest.MonkeyPatch) -> None:
    supabase_cli(3)
    monkeypatch.setattr(hosted, "_REPEAT", 1)
    measured = figures(json.loads(run("--only", "hosted", "--json").stdout), "hosted")
    trips = {name: figure for name, figure in measured.items() if figure["unit"] == "round trips"}
    assert len(trips) == 5
    assert all(figure["ok"] for figure in trips.values()), trips


@pytest.mark.parametrize(
    ("figure", "code"),
    [
        (Figure("time", 2, "ms", 1), 1),
        (Figure("time", 1, "ms", 1), 0),
        (Figure("time", 2, "ms"), 0),
        (Figure("probes", 299, "checks", 300, least=True), 1),
        (Figure("probes", 300, "checks", 300, least=True), 0),
    ],
)
def test_a_missed_limit_exits_1(monkeypatch: pytest.MonkeyPatch, figure: Figure, code: int) -> None:
    only(monkeypatch, figure)
    result = run()
    assert result.exit_code == code
    assert ("MISSED" in result.stdout) == ("FAILED" in result.stdout) == bool(code)
    assert json.loads(run("--json").stdout)["ok"] == (not code)


@pytest.mark.parametrize(
    "words",
    [
        ("--only", "nonsense"),
        ("--record",),
        ("--only", "queries", "--record"),
        ("--rows", "2001"),
        ("--rows", "0"),
        ("--partitions", "--only", "queries"),
        ("--partitions", "--record"),
        ("--partitions", "--rows", "2000"),
    ],
)
def test_wrong_usage_exits_2(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")


def test_missing_supabase_cli_exits_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "NODE_MODULES", tmp_path)
    result = run("--only", "apply")
    assert result.exit_code == 1
    assert "the Supabase CLI is not installed" in result.stderr


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_a_signal_stops_the_server(tmp_path: Path, number: signal.Signals) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(programs.ROOT / "scripts")}
    words = [sys.executable, "-m", "benchmarks", "--rows", "20000", "--only", "cleanup"]
    running = subprocess.Popen(
        words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while (
        not (states := list(tmp_path.glob("*/.supabase-jobs/server.json")))
        or not states[0].read_text()
    ):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    home = Path(json.loads(states[0].read_text())["home"])
    running.send_signal(number)
    _, err = running.communicate(timeout=30)
    assert running.returncode, err
    assert list(tmp_path.iterdir()) == []
    assert not home.exists()
