"""The local API with opaque keys and signing keys, for clients in Python and JavaScript."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jwt
import pytest

from supabase_jobs.local.api import service
from tests.fix_db import Database, Make
from tests.programs import postgrest, supabase_js
from tests.signing_keys import ALGORITHMS, private_jwk

_SCRIPT = """
import { createClient } from '@supabase/supabase-js'
const { API_URL, KEY, TOKEN } = process.env
const options = TOKEN ? { accessToken: async () => TOKEN } : {}
const { data, error } = await createClient(API_URL, KEY, options).rpc('who')
console.log(JSON.stringify(error ?? data))
"""
_WHO = """
create function public.who() returns json language sql stable as
$$ select json_build_object('role', current_user::text, 'sub', auth.uid()) $$;
grant execute on function public.who() to anon, authenticated, service_role
"""
USER = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def database(make_database: Make) -> Database:
    import psycopg

    made = make_database("platform")
    with psycopg.connect(made.url, autocommit=True) as connection:
        connection.execute(_WHO)
    return made


@contextmanager
def api_of(database: Database, project: Path) -> Iterator[service.ApiInfo]:
    server = database.server
    opened = service.throwaway(
        server.port, database.name, directory=project, postgrest_bin=postgrest()
    )
    with opened as info:
        yield info


def signed_project(project: Path, algorithm: str) -> Path:
    folder = project / "supabase"
    folder.mkdir()
    (folder / "config.toml").write_text('[auth]\nsigning_keys_path = "./signing_keys.json"\n')
    (folder / "signing_keys.json").write_text(json.dumps([private_jwk(algorithm, "one")]))
    return project


def who(info: service.ApiInfo, **headers: str) -> object:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx.post(f"{info.rest_url}/rpc/who", headers=named, timeout=30)
    return response.json()


def test_an_opaque_key_stands_for_its_role(database: Database, tmp_path: Path) -> None:
    with api_of(database, tmp_path) as info:
        keys = info.keys
        public, secret = keys.publishable, keys.secret_key
        assert public.startswith("sb_publishable_")
        assert secret.startswith("sb_secret_")
        anon = {"role": "anon", "sub": None}
        service_role = {"role": "service_role", "sub": None}
        assert who(info, apikey=public) == anon
        assert who(info, apikey=secret) == service_role
        # clients without a session send the key as a bearer token, too
        assert who(info, apikey=public, Authorization=f"Bearer {public}") == anon
        assert who(info, apikey=secret, Authorization=f"Bearer {secret}") == service_role
        # the key of the request counts, not the one in the other header
        assert who(info, apikey=public, Authorization=f"Bearer {secret}") == anon
        user = keys.user_token(USER)
        signed_in = {"role": "authenticated", "sub": USER}
        assert who(info, apikey=public, Authorization=f"Bearer {user}") == signed_in
        assert who(info, apikey=keys.anon, Authorization=f"Bearer {user}") == signed_in
        wrong = who(info, apikey=public + "x")
        assert wrong == {
            "message": "Invalid API key",
            "hint": "Double check your Supabase `anon` or `service_role` API key.",
        }


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_of_the_signing_key_and_of_the_secret_are_accepted(
    database: Database, tmp_path: Path, algorithm: str
) -> None:
    with api_of(database, signed_project(tmp_path, algorithm)) as info:
        token = info.keys.user_token(USER)
        assert jwt.get_unverified_header(token)["alg"] == algorithm
        public = info.keys.publishable
        signed_in = {"role": "authenticated", "sub": USER}
        assert who(info, apikey=public, Authorization=f"Bearer {token}") == signed_in
        assert who(info, apikey=public) == {"role": "anon", "sub": None}
        assert who(info, apikey=info.keys.service_role)["role"] == "service_role"  # type: ignore[index]
        published = httpx.get(f"{info.url}/auth/v1/.well-known/jwks.json", timeout=30).json()
        assert [(key["kid"], "d" in key) for key in published["keys"]] == [("one", False)]
        stranger = {**private_jwk(algorithm, "one")}
        forged = jwt.encode(
            jwt.decode(token, options={"verify_signature": False}),
            jwt.PyJWK(stranger).key,
            algorithm,
            {"kid": "one"},
        )
        refused = who(info, apikey=public, Authorization=f"Bearer {forged}")
        assert refused["code"] in ("PGRST301", "PGRST303")  # type: ignore[index]


def test_the_clients_work_with_new_keys_and_es256(database: Database, tmp_path: Path) -> None:
    from supabase import ClientOptions, create_client

    project = signed_project(tmp_path, "ES256")
    with api_of(database, project) as info, httpx.Client(timeout=30) as http:
        token = info.keys.user_token(USER)
        headers = {"Authorization": f"Bearer {token}"}
        keys = {info.keys.publishable: "anon", info.keys.secret_key: "service_role"}
        for key, role in keys.items():
            client = create_client(info.url, key, ClientOptions(httpx_client=http))
            assert client.rpc("who").execute().data["role"] == role  # type: ignore[index,call-overload]
            assert _in_javascript(tmp_path, info.url, key, "")["role"] == role
        options = ClientOptions(headers=headers, httpx_client=http)
        client = create_client(info.url, info.keys.publishable, options)
        assert client.rpc("who").execute().data["sub"] == USER  # type: ignore[index,call-overload]
        assert _in_javascript(tmp_path, info.url, info.keys.publishable, token)["sub"] == USER


def _in_javascript(folder: Path, url: str, key: str, token: str) -> dict[str, str]:
    script = folder / f"who{len(list(folder.iterdir()))}"
    script.mkdir()
    (script / "who.mjs").write_text(_SCRIPT)
    ran = subprocess.run(
        [*supabase_js(script), "who.mjs"],
        cwd=script,
        env={**os.environ, "API_URL": url, "KEY": key, "TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, str] = json.loads(ran.stdout)
    return found
