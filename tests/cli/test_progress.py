"""Long commands show which part of them runs: 3/12, on a terminal."""

import pytest

from supabase_jobs.cli import terminal
from supabase_jobs.mutation.mutate import derive
from tests.fix_cli import Run
from tests.fix_db import Make


class _Line:
    """The line of a step that has begun; keeps every part that it showed."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def __setattr__(self, name: str, value: object) -> None:
        if name == "part":
            self.parts.append(str(value).strip())
        else:
            super().__setattr__(name, value)

    def erase(self) -> None:
        """Nothing is drawn."""


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> _Line:
    made = _Line()
    monkeypatch.setattr(terminal, "_current", made)
    return made


def of(total: int) -> list[str]:
    return [f"{number}/{total}" for number in range(1, total + 1)]


def test_apply_counts_files_verify_areas_and_audit_parts(
    cli: Run, line: _Line, make_database: Make
) -> None:
    url = make_database("platform").url
    applied = cli("apply", "--json", "--db-url", url).json["applied"]
    assert line.parts == of(len(applied))
    assert len(applied) > 3
    for command, total in ((("verify",), 4), (("verify", "--only", "plans"), 1)):
        line.parts.clear()
        assert cli(*command, "--db-url", url).code == 0
        assert line.parts == of(total), command
    line.parts.clear()
    assert cli("audit", "--db-url", url).code == 0
    *copying, _, _, _, _, _ = line.parts  # the objects of the copy come first
    assert line.parts[-5:] == of(5)
    made, _, all_made = copying[-1].strip().partition("/")
    assert made == all_made


def test_mutate_counts_faults(
    cli: Run, line: _Line, applied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "supabase_jobs.mutation.mutate.derive", lambda *words: derive(*words)[::300]
    )
    total = cli("mutate", "--json", "--db-url", applied_url).json["total"]
    assert line.parts[-1] == f"{len(line.parts)}/{len(line.parts)}"
    assert line.parts == of(len(line.parts))
    assert len(line.parts) >= total > 2
