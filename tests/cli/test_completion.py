"""Completion in real shells, each on a terminal of its own."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.programs import unavailable

# shell → its arguments, and what loads the completion, as README says
SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(_SUPABASE_JOBS_COMPLETE=bash_source supabase-jobs)"'),
    "zsh": (
        ["-f", "-i"],
        'autoload -Uz compinit; compinit -u -D; eval "$(_SUPABASE_JOBS_COMPLETE=zsh_source supabase-jobs)"',
    ),
    "fish": (["--no-config", "-i"], "_SUPABASE_JOBS_COMPLETE=fish_source supabase-jobs | source"),
}
_KILL_LINE = "\x15"  # Ctrl-U


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["pexpect.spawn[str]"]:
    """An interactive shell that has loaded the completion."""
    program = shutil.which(request.param) or unavailable(f"{request.param} is not installed")
    words, load = SHELLS[request.param]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environ = {"PATH": path, "HOME": str(tmp_path_factory.mktemp("home")), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    shell = pexpect.spawn(program, words, env=environ, encoding="utf-8", timeout=20, dimensions=(24, 200))
    shell.sendline(f"{load}; echo loaded-$(expr 40 + 2)")
    shell.expect_exact("loaded-42")
    yield shell
    shell.close(force=True)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("supabase-jobs verif", "verify"),
        ("supabase-jobs migrate", "migrate-guest"),
        ("supabase-jobs local sto", "stop"),
        ("supabase-jobs verify --outp", "--output"),
        ("supabase-jobs verify --format sar", "sarif"),
        ("supabase-jobs verify --only func", "functions"),
    ],
)
def test_the_tab_key_completes(shell: "pexpect.spawn[str]", typed: str, completed: str) -> None:
    shell.send(f"{typed}\t")
    shell.expect_exact(completed)
    assert "error" not in str(shell.before)
    shell.send(_KILL_LINE)
