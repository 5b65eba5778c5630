"""Directories and links of other users, and directories that the server's account cannot enter."""

import os
import shutil
from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local import account, binaries, server
from supabase_jobs.local import directory as directories
from tests.local.conftest import require_root


@pytest.fixture
def closed_package(closed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The extra `local`, installed below a folder that only we can enter."""
    package = binaries.embedded(16).package
    assert package is not None
    copy = closed / "site-packages" / package.name
    unwanted = shutil.ignore_patterns("*.a", "include", "pgxs")
    shutil.copytree(package / "pginstall", copy / "pginstall", symlinks=True, ignore=unwanted)
    shutil.copytree(
        package.parent / f"{package.name}.libs", copy.parent / f"{package.name}.libs", symlinks=True
    )
    (copy / "__init__.py").touch()
    (copy / "pginstall" / "bin" / "postgres").chmod(0o700)
    monkeypatch.syspath_prepend(str(copy.parent))
    return copy


def test_root_keeps_the_data_of_a_closed_directory_elsewhere(closed: Path) -> None:
    require_root()
    info = server.start(closed)
    assert closed not in info.data_dir.parents
    assert info.data_dir.stat().st_uid == account.current().uid
    assert info.data_dir.stat().st_mode & 0o777 == 0o700
    assert server.status(closed) == info


def test_root_with_a_closed_virtualenv_copies_the_programs_once(
    directory: Path, closed_package: Path
) -> None:
    require_root()
    info = server.start(directory)
    assert info.bin_dir.is_relative_to(info.data_dir.parent)
    made = info.bin_dir.stat().st_ctime_ns
    server.stop(directory)
    again = server.start(directory)
    assert again.bin_dir.stat().st_ctime_ns == made
    assert closed_package.stat().st_mode & 0o777 == 0o755
    assert closed_package.parent.parent.stat().st_mode & 0o777 == 0o700
    copies = [path.name for path in info.data_dir.parent.iterdir() if "postgres-" in path.name]
    assert len(copies) == 1


def test_an_incomplete_copy_is_replaced(directory: Path, closed_package: Path) -> None:
    require_root()
    info = server.start(directory)
    server.stop(directory)
    (info.bin_dir / "postgres").unlink()
    assert server.start(directory).bin_dir == info.bin_dir


def test_ordinary_users_run_the_installed_programs(directory: Path, closed_package: Path) -> None:
    if os.geteuid() == 0:
        return
    assert server.start(directory).bin_dir == closed_package / "pginstall" / "bin"


def test_a_fallback_folder_of_another_user_is_rejected(closed: Path) -> None:
    require_root()
    foreign = directories.of(closed).fallbacks()[0]
    foreign.mkdir(mode=0o700)
    os.chown(foreign, account.current().uid, -1)
    try:
        with pytest.raises(LocalServerError, match="belongs to another user"):
            server.start(closed)
    finally:
        foreign.rmdir()


def test_a_link_instead_of_the_fallback_folder_is_rejected(closed: Path, directory: Path) -> None:
    require_root()
    foreign = directories.of(closed).fallbacks()[0]
    foreign.symlink_to(directory)
    try:
        with pytest.raises(LocalServerError, match="belongs to another user"):
            server.start(closed)
    finally:
        foreign.unlink()


def test_a_link_instead_of_the_server_directory_is_rejected(directory: Path) -> None:
    (directory / "precious").mkdir()
    (directory / ".supabase-jobs").symlink_to("precious")
    try:
        for command in (server.start, server.reset, server.stop, server.remove, server.running_url):
            with pytest.raises(LocalServerError, match="not a folder"):
                command(directory)
    finally:
        (directory / ".supabase-jobs").unlink()


def test_a_link_instead_of_the_data_is_not_followed(directory: Path) -> None:
    (directory / "precious").mkdir()
    (directory / "precious" / "file").touch()
    (directory / ".supabase-jobs").mkdir()
    (directory / ".supabase-jobs" / "data").symlink_to(directory / "precious")
    try:
        with pytest.raises(LocalServerError, match="is a link"):
            server.reset(directory)
        assert (directory / "precious" / "file").exists()
    finally:
        (directory / ".supabase-jobs" / "data").unlink()


def test_settings_writable_by_others_are_rejected(directory: Path) -> None:
    server.start(directory)
    path = directory / ".supabase-jobs" / "server.json"
    path.chmod(0o644)
    with pytest.raises(LocalServerError, match="only its owner"):
        server.stop(directory)
    path.chmod(0o600)


def test_a_server_of_another_user_is_named(directory: Path) -> None:
    require_root()
    (directory / ".supabase-jobs").mkdir()
    os.chown(directory / ".supabase-jobs", account.current().uid, -1)
    try:
        with pytest.raises(LocalServerError, match="another user"):
            server.running_url(directory)
    finally:
        (directory / ".supabase-jobs").rmdir()


def test_without_the_extra_the_hint_names_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    with pytest.raises(LocalServerError) as caught:
        server.start(directory)
    assert "pip install 'supabase-jobs[local]'" in str(caught.value.hint)
    assert "--postgres-bin" in str(caught.value.hint)


def test_a_version_that_is_not_embedded_leads_to_a_hint_with_postgres_bin(directory: Path) -> None:
    with pytest.raises(ConfigError, match="16 and 18") as caught:
        server.start(directory, major=17)
    assert "--postgres-bin" in str(caught.value.hint)


def test_a_folder_without_a_server_is_rejected(directory: Path) -> None:
    with pytest.raises(ConfigError, match="no initdb and no postgres"):
        server.start(directory, postgres_bin=directory)


def test_a_folder_of_another_version_is_rejected(directory: Path) -> None:
    with pytest.raises(ConfigError, match="16, not 18"):
        server.start(directory, major=18, postgres_bin=binaries.embedded(16).bin_dir)
