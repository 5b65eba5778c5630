"""Where the directories of throwaway servers are."""

import tempfile
from pathlib import Path

import pytest

from supabase_jobs.local import temporary


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the files in memory; others are in the folder `disk`."""
    for name in ("memory", "disk"):
        (tmp_path / name).mkdir()
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk"))
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path / "memory")
    monkeypatch.setattr(temporary, "_ROOM", 0)
    return tmp_path / "memory"


def test_a_directory_is_in_memory_on_demand(memory: Path) -> None:
    with temporary.directory(in_memory=True) as small, temporary.directory() as large:
        assert small.parent == memory
        assert large.parent == memory.with_name("disk")
    assert not small.exists()


def test_memory_without_room_is_not_used(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_ROOM", 2**62)
    with temporary.directory(in_memory=True) as path:
        assert path.parent == memory.with_name("disk")


def test_missing_memory_is_not_used(memory: Path) -> None:
    memory.rmdir()
    with temporary.directory(in_memory=True) as path:
        assert path.parent == memory.with_name("disk")


def test_tmpdir_is_used_instead_of_memory(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(memory.with_name("disk")))
    with temporary.directory(in_memory=True) as path:
        assert path.parent == memory.with_name("disk")


def test_abandoned_directories_are_found_in_both_places(memory: Path) -> None:
    kept = []
    for parent in (memory, memory.with_name("disk")):
        path = Path(tempfile.mkdtemp(prefix="supabase-jobs-throwaway-", dir=parent))
        (path / "owner").touch()
        kept.append(path)
    with temporary.directory(in_memory=True):
        assert sorted(temporary.abandoned()) == sorted(kept)
