"""docs/client-guide.md: the code of each language runs as one program, from guest to user, on the
real API.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from supabase_jobs.sources.files import load_sources
from tests.api.test_cases import ALL
from tests.fix_api import Api, serve_api
from tests.fix_db import Make
from tests.programs import supabase_js
from tests.sql.owner_limits import SOURCE, set_limits

GUIDE = (Path(__file__).parents[2] / "docs" / "client-guide.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)

PYTHON = """
import json
from types import SimpleNamespace

session = SimpleNamespace(access_token=os.environ["ACCESS_TOKEN"], user=SimpleNamespace(id=os.environ["USER_ID"]))
register_guest()
register_guest()
a, b, c = (create_job(f"https://x.com/{name}")["id"] for name in "abc")
output = {"guest": guest_id(), "active": [job["url"][-1] for job in active_jobs()]}
output["refused"] = submit_job("https://x.com/x")
output["cancelled"] = [cancel(b), cancel(b)]
first = claim_job()
process_job(first)
second = claim_job()
fail_job(second, "Timeout error")
output["claimed"] = [first["url"][-1], second["url"][-1], claim_job()]
output["updated_after_cancel"] = update_job(b, {"status": "completed"})
output["final"] = [wait_for_job(job, 0.01) for job in (a, b, c)]
d = submit_job("https://x.com/d")["id"]
output["migrated"] = [migrate_guest(session), migrate_guest(session)]
output["guest_jobs"] = [active_jobs(), wait_for_job(d, 0.01)]
output["user_jobs"] = len(user_client(session).table("async_jobs").select("id").execute().data)
print(json.dumps(output))
"""

RESULT: dict[str, Any] = {
    "media": {
        "post_id": "1234567890",
        "type": "image",
        "video_url": None,
        "thumbnail_url": None,
        "images": [],
    },
    "transcription": None,
    "vision": "…",
    "entities": [],
    "metrics": {"likes": 100},
    "tweet": {"text": "…", "author_handle": "@username"},
}

# what a browser provides and older versions of Node do not
JS_BEFORE = """
const { SUPABASE_URL, SUPABASE_ANON_KEY } = process.env
const items = new Map()
Object.defineProperty(globalThis, 'localStorage', {
  value: { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value) },
})
"""

JS_AFTER = """
const session = { access_token: process.env.ACCESS_TOKEN, user: { id: process.env.USER_ID } }
await registerGuest()
await registerGuest()
const jobs = []
for (const name of 'abc') jobs.push((await createJob(`https://x.com/${name}`)).id)
const [a, b, c] = jobs
const output = { guest: guestId(), active: (await activeJobs()).map((job) => job.url.at(-1)) }
output.refused = (await submitJob('https://x.com/x')).refused
output.cancelled = [await cancel(b), await cancel(b)]
const first = await claimJob()
await processJob(first)
const second = await claimJob()
await failJob(second, 'Timeout error')
output.claimed = [first.url.at(-1), second.url.at(-1), await claimJob()]
output.updated_after_cancel = await updateJob(b, { status: 'completed' })
output.final = []
for (const id of jobs) output.final.push(await waitForJob(id, 0.01))
const d = (await submitJob('https://x.com/d')).job.id
output.migrated = [await migrateGuest(session), await migrateGuest(session)]
output.guest_jobs = [await activeJobs(), await waitForJob(d, 0.01)]
output.user_jobs = (await userClient(session).from('async_jobs').select('id')).data.length
console.log(JSON.stringify(output))
process.exit(0)
"""


def code(language: str) -> str:
    """The guide's code in a language, as one program."""
    blocks = [text for name, text in BLOCKS if name == language]
    assert len(blocks) >= 7
    return "".join(blocks)


@pytest.fixture
def fresh(make_database: Make) -> Iterator[Api]:
    """An API on a database of its own, so that its worker claims no jobs of other tests.

    A guest may have three active jobs.
    """
    database = make_database("applied")
    with psycopg.connect(database.url) as connection:
        set_limits(connection, max_active_jobs_per_guest=3)
    with serve_api(database.server, database.name) as api:
        yield api


def run(command: list[str], script: Path, api: Api) -> dict[str, Any]:
    """Run a program with the variables of an application; return the JSON of its last line."""
    user = api.new_user()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(script.parent),
        "SUPABASE_URL": api.url,
        "SUPABASE_ANON_KEY": api.keys.anon,
        "SUPABASE_SERVICE_ROLE_KEY": api.keys.service_role,
        "ACCESS_TOKEN": api.keys.user_token(user),
        "USER_ID": str(user),
    }
    done = subprocess.run(
        [*command, str(script)],
        env=environ,
        cwd=script.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    output: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    owners = api.sql("select distinct guest_id, user_id from public.async_jobs")
    assert owners == [(None, user)]
    migrated_to = "select migrated_to_user_id from public.guest_users where guest_id = %s"
    assert api.sql(migrated_to, output["guest"]) == [(user,)]
    return output


def assert_output(output: dict[str, Any]) -> None:
    """Assert the output, which is the same in both languages."""
    assert output.pop("guest")
    assert output == {
        "active": ["c", "b", "a"],
        "refused": "too many active jobs. Wait until a job has ended, or cancel one.",
        "cancelled": [True, False],
        "claimed": ["a", "c", None],
        "updated_after_cancel": False,
        "final": [
            {"status": "completed", "progress": 100, "result": RESULT, "error": None},
            {"status": "cancelled", "progress": 0, "result": None, "error": None},
            {"status": "failed", "progress": 0, "result": None, "error": "Timeout error"},
        ],
        "migrated": [4, 0],
        "guest_jobs": [[], None],
        "user_jobs": 4,
    }


def test_every_block_is_python_or_javascript() -> None:
    assert {language for language, _ in BLOCKS} == {"js", "python"}


def test_python_examples_run(fresh: Api, tmp_path: Path) -> None:
    script = tmp_path / "guide.py"
    script.write_text(code("python") + PYTHON, encoding="utf-8")
    assert_output(run([sys.executable], script, fresh))


def test_javascript_examples_run(fresh: Api, tmp_path: Path) -> None:
    script = tmp_path / "guide.mjs"
    script.write_text(JS_BEFORE + code("js") + JS_AFTER, encoding="utf-8")
    assert_output(run(supabase_js(tmp_path), script, fresh))


def test_documented_errors_occur_in_the_cases() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (\w+) \|", GUIDE, flags=re.MULTILINE)
    cases = {(case.status, case.code) for case in ALL}
    assert len(rows) == 13
    # see test_timeouts, test_owner_limits, and the next test but one
    others = {(500, "57014"), (400, "21000"), (429, "PT429"), (403, "PT403")}
    assert {(int(status), code) for status, code in rows} - cases == others


def test_the_documented_refusals_are_those_of_the_limits() -> None:
    """tests/api/test_owner_limits.py sends the requests."""
    rows = re.findall(r"^\| (PT\d+) \| (.+?) \|(?: (.+?))? \| (.+?) \|$", GUIDE, flags=re.MULTILINE)
    [source] = [source.text for source in load_sources().sources if source.stem == SOURCE]
    raised = re.findall(
        r"raise exception '([^%']+)'\s+using errcode = '(PT\d+)'.*?hint = '(.+?)'",
        source,
        re.DOTALL,
    )
    assert sorted((code, message, hint) for code, message, _, hint in rows) == sorted(
        (code, message, hint) for message, code, hint in raised
    )
    for *_, detail, _ in rows:
        assert (
            re.sub(r"guest: at most \d+", "%s: at most %s", detail) in source
            or re.sub(r"\d+", "%s", detail) in source
        )


# Debian has no safeupdate, which hosted APIs preload. It raises this error for a statement without
# WHERE.
SAFEUPDATE = """
create function public.safeupdate() returns trigger language plpgsql as
  $$ begin raise '% requires a WHERE clause', tg_op using errcode = 'cardinality_violation'; end $$;
create trigger safeupdate before update or delete on public.async_jobs for each statement
  execute function public.safeupdate()
"""


def test_the_error_of_safeupdate_has_the_documented_status(fresh: Api) -> None:
    fresh.sql(SAFEUPDATE)
    for method, content in (("PATCH", {"progress": 1}), ("DELETE", None)):
        response = fresh.request(
            method, "async_jobs", json=content, headers=fresh.headers(service=True)
        )
        assert (response.status_code, response.json()["code"]) == (400, "21000")
