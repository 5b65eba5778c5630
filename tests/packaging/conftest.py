"""The built wheel, installed with its dependencies: once for all tests of a process."""

import os
import re
import subprocess
import sys
import venv
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path

import hatchling.build
import pytest

# what a client of a package index needs; the rest of the environment is that of a new account
_KEPT = (
    "PIP_",
    "UV_",
    "SSL_",
    "NPM_CONFIG_",
    "NODE_EXTRA_",
    "HTTP",
    "http",
    "NO_PROXY",
    "no_proxy",
    "LANG",
)


def run(*words: object, cwd: Path, **environ: str) -> str:
    """Run a program that must succeed, in an almost empty environment; returns its stdout."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**environment(), "HOME": str(cwd), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment() -> Mapping[str, str]:
    """The variables of a new account."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    kept["PIP_NO_COMPILE"] = "1"  # half of the time of an installation
    # root's own programs may be where others cannot enter
    return {
        **kept,
        "PATH": "/usr/local/bin:/usr/bin:/bin" if os.geteuid() == 0 else os.environ["PATH"],
    }


def build(root: Path, out: Path, kind: str = "wheel") -> Path:
    """Build a distribution with the hatchling that is installed; nothing is downloaded."""
    out.mkdir(exist_ok=True)
    with chdir(root):
        return Path(out, getattr(hatchling.build, f"build_{kind}")(str(out)))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(Path(__file__).parents[2], tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def pins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The versions of the development lock, as constraints for an installer."""
    lock = Path(__file__).parents[2] / "requirements" / "dev.txt"
    lines = re.findall(r"^(\w\S*==[^\\\n]+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file = tmp_path_factory.mktemp("pins") / "constraints.txt"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture(scope="session")
def installed(wheel: Path, pins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new virtualenv in which pip has installed the wheel as
    docs/testing-rls.md says.
    """
    place = tmp_path_factory.mktemp("installed")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(
        *pip,
        "install",
        "--quiet",
        f"supabase-jobs[local] @ {wheel.as_uri()}",
        "pytest",
        cwd=place,
        PIP_CONSTRAINT=str(pins),
    )
    return python.parent
