"""Completion in real shells, each on a terminal of its own."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from supabase_jobs.cli import completion
from supabase_jobs.cli.completion import VARIABLE
from supabase_jobs.mutation.suite.faults import KINDS
from tests.fix_cli import Run
from tests.programs import unavailable

# shell → its arguments, and what loads the completion, as docs/reference.md says
SHELLS = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        'eval "$(_SUPABASE_JOBS_COMPLETE=bash_source supabase-jobs)"',
    ),
    "zsh": (
        ["-f", "-i"],
        'autoload -Uz compinit; compinit -u -D; eval "$(_SUPABASE_JOBS_COMPLETE=zsh_source supabase-jobs)"',
    ),
    "fish": (["--no-config", "-i"], "_SUPABASE_JOBS_COMPLETE=fish_source supabase-jobs | source"),
}
_KILL_LINE = "\x15"  # Ctrl-U


@pytest.fixture(scope="module", params=SHELLS)
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["pexpect.spawn[str]"]:
    """An interactive shell that has loaded the completion."""
    program = shutil.which(request.param) or unavailable(f"{request.param} is not installed")
    words, load = SHELLS[request.param]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environ = {
        "PATH": path,
        "HOME": str(tmp_path_factory.mktemp("home")),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }
    folder = tmp_path_factory.mktemp("project")
    (folder / "folder").mkdir()
    shell = pexpect.spawn(
        program,
        words,
        env=environ,
        cwd=str(folder),
        encoding="utf-8",
        timeout=20,
        dimensions=(24, 200),
    )
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
        ("supabase-jobs verify --only access,func", "access,functions"),
        ("supabase-jobs mutate --only struc", "structure"),
        ("supabase-jobs mutate --run 'npm test' --only poli", "policies"),
        ("supabase-jobs audit --emit pgt", "pgtap"),
        ("supabase-jobs audit --emit pgtap fold", "folder"),
    ],
)
def test_the_tab_key_completes(shell: "pexpect.spawn[str]", typed: str, completed: str) -> None:
    shell.send(f"{typed}\t")
    shell.expect_exact(completed)
    assert "error" not in str(shell.before)
    shell.send(_KILL_LINE)


def test_the_names_are_those_of_the_program() -> None:
    assert completion.KINDS == KINDS


@pytest.mark.parametrize(
    "variables",
    [
        {VARIABLE: "powershell_source"},
        {VARIABLE: "bash"},
        {VARIABLE: "bash_complete"},
        {VARIABLE: "zsh_complete", "COMP_WORDS": "supabase-jobs v", "COMP_CWORD": "v"},
    ],
)
def test_an_unknown_request_is_refused(cli: Run, variables: dict[str, str]) -> None:
    ran = cli(**variables)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {VARIABLE} is {variables[VARIABLE]!r}")
