"""The client guide: all its code in one program a language, driven through a guest's whole life, on the real API."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api import cases_identity, cases_rows, cases_surface
from tests.fix_api import Api, serving
from tests.fix_db import Make
from tests.parts import supabase_js

GUIDE = (Path(__file__).parents[2] / "docs" / "client-guide.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)

PYTHON = """
import json
from types import SimpleNamespace

session = SimpleNamespace(access_token=os.environ["ACCESS_TOKEN"], user=SimpleNamespace(id=os.environ["USER_ID"]))
arrive()
arrive()
a, b, c = (create_job(f"https://x.com/{name}")["id"] for name in "abc")
said = {"guest": guest_id(), "active": [job["url"][-1] for job in active_jobs()]}
said["cancelled"] = [cancel(b), cancel(b)]
first = take_job()
work(first)
second = take_job()
give_up(second, "Timeout error")
said["taken"] = [first["url"][-1], second["url"][-1], take_job()]
said["revived"] = step(b, status="completed")
said["ends"] = [finished(job, 0.01) for job in (a, b, c)]
d = create_job("https://x.com/d")["id"]
said["moved"] = [hand_over(session), hand_over(session)]
said["left"] = [active_jobs(), finished(d, 0.01)]
said["mine"] = len(user_client(session).table("async_jobs").select("id").execute().data)
print(json.dumps(said))
"""

# a page has these; Node has them in newer versions, or in another way
JS_BEFORE = """
const { SUPABASE_URL, SUPABASE_ANON_KEY } = process.env
const kept = new Map()
Object.defineProperty(globalThis, 'localStorage', {
  value: { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) },
})
"""

JS_AFTER = """
const session = { access_token: process.env.ACCESS_TOKEN, user: { id: process.env.USER_ID } }
await arrive()
await arrive()
const jobs = []
for (const name of 'abc') jobs.push((await createJob(`https://x.com/${name}`)).id)
const [a, b, c] = jobs
const said = { guest: guestId(), active: (await activeJobs()).map((job) => job.url.at(-1)) }
said.cancelled = [await cancel(b), await cancel(b)]
const first = await takeJob()
await work(first)
const second = await takeJob()
await giveUp(second, 'Timeout error')
said.taken = [first.url.at(-1), second.url.at(-1), await takeJob()]
said.revived = await step(b, { status: 'completed' })
said.ends = []
for (const id of jobs) said.ends.push(await finished(id, 0.01))
const d = (await createJob('https://x.com/d')).id
said.moved = [await handOver(session), await handOver(session)]
said.left = [await activeJobs(), await finished(d, 0.01)]
said.mine = (await userClient(session).from('async_jobs').select('id')).data.length
console.log(JSON.stringify(said))
process.exit(0)
"""


def code(language: str) -> str:
    """The guide's code in a language, as one program."""
    found = [text for name, text in BLOCKS if name == language]
    assert len(found) >= 7
    return "".join(found)


@pytest.fixture
def fresh(make_database: Make) -> Iterator[Api]:
    """An API on a database in which nobody else leaves jobs for a worker to take."""
    database = make_database("applied")
    with serving(database.server, database.name) as api:
        yield api


def run(command: list[str], script: Path, api: Api) -> dict[str, Any]:
    """Run a program as an application, and give what it says at its end."""
    user = api.new_user()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(script.parent),
        "SUPABASE_URL": api.url,
        "SUPABASE_ANON_KEY": api.keys.anon,
        "SUPABASE_SERVICE_ROLE_KEY": api.keys.service_role,
        "ACCESS_TOKEN": api.keys.user(user),
        "USER_ID": str(user),
    }
    done = subprocess.run(
        [*command, str(script)], env=environ, cwd=script.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    owners = api.sql("select distinct guest_id, user_id from public.async_jobs")
    assert owners == [(None, user)]
    ((migrated_to,),) = api.sql("select migrated_to_user_id from public.guest_users where guest_id = %s", said["guest"])
    assert migrated_to == user
    return said


def as_promised(said: dict[str, Any]) -> None:
    """The same story in both languages."""
    assert said.pop("guest")
    assert said == {
        "active": ["c", "b", "a"],
        "cancelled": [True, False],
        "taken": ["a", "c", None],
        "revived": False,
        "ends": [
            {"status": "completed", "progress": 100, "result": {"transcription": "…", "entities": []}, "error": None},
            {"status": "cancelled", "progress": 0, "result": None, "error": None},
            {"status": "failed", "progress": 0, "result": None, "error": "Timeout error"},
        ],
        "moved": [4, 0],
        "left": [[], None],
        "mine": 4,
    }


def test_every_block_is_run() -> None:
    assert {language for language, _ in BLOCKS} == {"js", "python"}


def test_the_python_examples(fresh: Api, tmp_path: Path) -> None:
    script = tmp_path / "guide.py"
    script.write_text(code("python") + PYTHON, encoding="utf-8")
    as_promised(run([sys.executable], script, fresh))


def test_the_javascript_examples(fresh: Api, tmp_path: Path) -> None:
    script = tmp_path / "guide.mjs"
    script.write_text(JS_BEFORE + code("js") + JS_AFTER, encoding="utf-8")
    as_promised(run(supabase_js(tmp_path), script, fresh))


def test_the_errors_are_those_of_the_cases() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (\w+) \|", GUIDE, flags=re.MULTILINE)
    cases = {(case.status, case.code) for case in [*cases_rows.CASES, *cases_identity.CASES, *cases_surface.CASES]}
    assert len(rows) == 10
    assert {(int(status), code) for status, code in rows} - cases == {(500, "57014")}  # see test_surface
