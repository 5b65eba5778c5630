"""Steps of CI workflows, run in a real clone as the runners of GitHub and GitLab run them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supabase_jobs.local import server
from tests.programs import unavailable


@dataclass(frozen=True)
class Step:
    """A step that ran; `name` is its name, or its command where it has none."""

    name: str
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Checkout:
    """A repository whose `origin/main` has the packaged migrations, checked out on a branch of a
    pull request.
    """

    folder: Path
    temp: Path

    @property
    def migrations(self) -> Path:
        return self.folder / "supabase" / "migrations"

    @property
    def outputs(self) -> Path:
        return self.temp / "outputs"

    @property
    def summary(self) -> Path:
        return self.temp / "summary.md"

    def run(
        self,
        steps: Iterable[dict[str, Any]],
        values: Mapping[str, str] | None = None,
        *,
        database: str = "",
    ) -> list[Step]:
        """Run steps up to the first that fails, with bash as GitHub calls it.

        `values` are those of expressions, such as `secrets.NAME`; others are empty, as on GitHub.
        The commands use the URL `database`, if it is not empty.
        """
        target = {"SUPABASE_DB_URL": database} if database else {}
        done: list[Step] = []
        known = dict(values or {})
        for step in steps:
            if "uses" in step:
                assert re.fullmatch(r"actions/(checkout|setup-python)@v\d+", step["uses"])
                continue
            if step["run"].startswith("pip install "):
                continue  # the checkout is installed already
            assert "${{" not in step["run"], "values go in through env, never into the script"
            environ = {key: _expand(value, known) for key, value in step.get("env", {}).items()}
            self.outputs.write_text("")
            ran = subprocess.run(
                [program("bash"), "-eo", "pipefail", "-c", step["run"]],
                cwd=self.folder,
                env={**self.environ(), **target, **environ},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            pairs = (line.split("=", 1) for line in self.outputs.read_text().splitlines())
            known |= {f"steps.{step.get('id')}.outputs.{name}": value for name, value in pairs}
            assert "Traceback" not in ran.stderr
            done.append(Step(step.get("name", step["run"]), ran.returncode, ran.stdout, ran.stderr))
            if ran.returncode:
                break
        return done

    def git(self, *words: str, cwd: Path | None = None) -> None:
        settings = (
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@example.com",
            "-c",
            "init.defaultBranch=main",
        )
        subprocess.run(
            [program("git"), *settings, *words],
            cwd=cwd or self.folder,
            env=self.environ(),
            check=True,
            capture_output=True,
        )

    def environ(self) -> dict[str, str]:
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("SUPABASE", "PG", "GITHUB", "GIT_"))
        }
        return {
            **kept,
            "PATH": os.pathsep.join(
                [str(self.temp), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "HOME": str(self.temp),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_BASE_REF": "main",
            "GITHUB_WORKSPACE": str(self.folder),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.outputs),
            "GITHUB_REPOSITORY": "example/project",
            "RUNNER_TEMP": str(self.temp),
        }


def program(name: str) -> str:
    return shutil.which(name) or unavailable(f"{name} is not installed")


def _expand(value: str, values: Mapping[str, str]) -> str:
    """A value with its `${{ expressions }}` replaced."""
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: values.get(found[1], ""), value)


@contextmanager
def checked_out(folder: Path, migrations: Mapping[str, str]) -> Iterator[Checkout]:
    """A clone whose `origin/main` has these migrations, on a branch; its local server is removed at
    the end.
    """
    origin = folder / "origin.git"
    made = Checkout(folder / "checkout", folder / "temp")
    made.temp.mkdir()
    made.git("init", "--bare", str(origin), cwd=folder)
    made.git("clone", str(origin), str(made.folder), cwd=folder)
    made.migrations.mkdir(parents=True)
    for name, text in migrations.items():
        (made.migrations / name).write_text(text, newline="")
    made.git("add", "--all")
    made.git("commit", "--message", "what is on main")
    made.git("push", "origin", "HEAD:main")
    made.git("checkout", "-b", "change")
    try:
        yield made
    finally:
        server.remove(made.folder)


def last(steps: list[Step]) -> tuple[str, int]:
    return steps[-1].name, steps[-1].code


def annotations(steps: list[Step]) -> list[str]:
    return [line for step in steps for line in step.err.splitlines() if line.startswith("::")]
