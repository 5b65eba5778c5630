"""The SQL and JavaScript examples of docs/security.md."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from supabase_jobs.findings import Severity
from supabase_jobs.testing import Rls
from supabase_jobs.verify.verify import verify
from tests.fix_api import Api
from tests.fix_db import EXPECTATIONS, Server
from tests.programs import DEFAULT_MAJOR, unavailable
from tests.security.conftest import ADD, ADD_USERS, EXAMPLES, READ, new_guest, new_user

HERE = Path(__file__).parent
MODULES = HERE.parent / "node_modules"
MIGRATE = "select migrated_count from migrate_guest_jobs(%s, %s)"


def test_every_example_has_a_test() -> None:
    assert set(EXAMPLES) == {"move", "close", "lock", "permanent", "clean"}


def test_close_rejects_new_guests_and_allows_migration(rls: Rls) -> None:
    guest, user = new_guest(rls), new_user(rls)
    rls.owner.execute(EXAMPLES["close"])
    someone = uuid4()
    rls.as_guest(someone).assert_denied("insert into guest_users (guest_id) values (%s)", [someone])
    guest.caller.assert_denied(ADD, [guest.id])
    guest.caller.assert_allowed(READ, [guest.job])
    user.caller.assert_allowed(ADD_USERS, [user.id])
    both = rls.as_user(user.id, headers={"X-Guest-Id": str(guest.id)})
    assert both.value(MIGRATE, [guest.id, user.id]) == 1


def test_lock_revokes_all_access_of_guests(rls: Rls) -> None:
    guest, user = new_guest(rls), new_user(rls)
    rls.owner.execute(EXAMPLES["lock"])
    guest.caller.assert_denied(READ, [guest.job])
    guest.caller.assert_denied("update async_jobs set progress = 1")
    guest.caller.assert_denied("update guest_users set last_seen_at = now()")
    user.caller.assert_allowed(READ, [user.job])


@pytest.mark.parametrize("step", ["close", "lock"])
def test_verify_reports_the_revoked_privileges(rls: Rls, step: str) -> None:
    rls.owner.execute(EXAMPLES[step])
    findings = verify(rls.connection, EXPECTATIONS).findings
    assert any(
        "anon" in finding.message and finding.severity is Severity.ERROR for finding in findings
    )


def test_permanent_reserves_delete_for_accounts(rls: Rls) -> None:
    user = new_user(rls)
    rls.owner.execute(EXAMPLES["permanent"])
    delete = "delete from async_jobs where id = %s"
    rls.as_user(user.id, claims={"is_anonymous": True}).assert_hidden(delete, [user.job])
    rls.as_user(user.id, claims={"is_anonymous": True}).assert_allowed(READ, [user.job])
    rls.as_user(user.id, claims={"is_anonymous": False}).assert_allowed(delete, [user.job])
    user.caller.assert_allowed(delete, [user.job])


def test_clean_deletes_old_anonymous_users_and_their_jobs(rls: Rls) -> None:
    old, recent, account = (new_user(rls) for _ in range(3))
    rls.owner.execute(
        "update auth.users set created_at = now() - interval '31 days', is_anonymous = id <> %s"
        " where id in (%s, %s)",
        [account.id, old.id, account.id],
    )
    rls.owner.execute(
        "update auth.users set created_at = now(), is_anonymous = true where id = %s", [recent.id]
    )
    rls.owner.execute(EXAMPLES["clean"])
    remaining = {job for (job,) in rls.owner.rows("select id from async_jobs")}
    assert old.job not in remaining
    assert {recent.job, account.job} <= remaining


def test_move_migrates_the_jobs_and_deletes_the_stored_guest_id(
    one_api: Api, tmp_path: Path
) -> None:
    """With the real supabase-js and PostgREST; sign_in.mjs answers for Auth, which requires Docker."""
    node = shutil.which("node")
    if node is None or not (MODULES / "@supabase" / "supabase-js").exists():
        unavailable("supabase-js is not installed (npm ci in tests/)")
    guest, user = one_api.new_guest(), one_api.new_user()
    job = one_api.new_job(guest=guest)
    (tmp_path / "move.mjs").write_text(EXAMPLES["move"])
    shutil.copy(HERE / "sign_in.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES)
    settings = {
        "url": one_api.url,
        "key": one_api.keys.anon,
        "guest": str(guest),
        "user": {"id": str(user), "aud": "authenticated", "is_anonymous": True},
        "token": one_api.keys.user_token(user, is_anonymous=True),
    }
    completed = subprocess.run(
        [node, "sign_in.mjs", json.dumps(settings)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout) == {
        "user": str(user),
        "stored_guest_id": None,
        "next_visit_user": str(user),
        "signups": 1,
        "jobs": [{"id": str(job), "guest_id": None}],
    }


def test_the_jwt_secret_signs_tokens_for_any_user(one_api: Api) -> None:
    user = one_api.new_user()
    one_api.new_job(user=user)
    token = one_api.keys.user_token(user)
    headers = {"apikey": one_api.keys.anon, "Authorization": f"Bearer {token}"}
    assert len(one_api.request("GET", "async_jobs?select=id", headers=headers).json()) == 1


def test_sqlstate_pt429_is_http_status_429(one_api: Api) -> None:
    """With a function of its own, because the example would affect other tests on this database."""
    one_api.sql(
        "create or replace function public.busy() returns void language plpgsql as"
        " $$ begin raise exception 'too many jobs' using errcode = 'PT429'; end $$"
    )
    one_api.sql("notify pgrst, 'reload schema'")
    try:
        deadline = time.monotonic() + 20
        while (
            status := one_api.request("POST", "rpc/busy", headers=one_api.headers()).status_code
        ) == 404:
            assert time.monotonic() < deadline  # until PostgREST has reloaded the schema
            time.sleep(0.1)
        assert status == 429
    finally:
        one_api.sql("drop function public.busy()")


def test_the_local_server_requires_a_password_only_from_the_superuser(
    request: pytest.FixtureRequest,
) -> None:
    server: Server = request.getfixturevalue(f"server_{DEFAULT_MAJOR}")
    request.getfixturevalue(f"platform_{DEFAULT_MAJOR}")
    address = f"{server.host}:{server.port}/postgres"
    for role in ("postgres", "authenticator"):
        psycopg.connect(f"postgresql://{role}@{address}").close()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://{server.user}@{address}")


def test_development_dependencies_are_pinned_with_hashes(root: Path) -> None:
    for name in ("dev", "demo"):
        text = (root / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
        pinned = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        assert pinned
        assert all("==" in line and "--hash=sha256:" in line for line in pinned)
    packages = json.loads((root / "tests" / "package-lock.json").read_text())["packages"]
    assert all("integrity" in package for name, package in packages.items() if name)
