"""Validation of an API's URL and keys; no message contains a key."""

import json
from pathlib import Path

import jwt
import pytest

from supabase_jobs.api.endpoint import Endpoint, host_of, keys_from_environment, parse_url
from supabase_jobs.api.keys import Keys, claimed_role, new_keys
from supabase_jobs.cli.api_target import api_target
from supabase_jobs.errors import ConfigError
from tests.signing_keys import private_jwk

SECRET = "a secret of thirty-two characters or more"
KEYS = new_keys(SECRET)


@pytest.mark.parametrize(
    ("given", "url", "host"),
    [
        ("http://127.0.0.1:54321", "http://127.0.0.1:54321", "127.0.0.1"),
        ("http://[::1]:1/", "http://[::1]:1", "::1"),
        (" https://abc.example\r\n", "https://abc.example", "abc.example"),
        ("http://LOCALHOST:1?", "http://LOCALHOST:1", "localhost"),
    ],
)
def test_a_url_is_normalized(given: str, url: str, host: str) -> None:
    assert parse_url(given, "SUPABASE_URL") == url
    assert host_of(url) == host


@pytest.mark.parametrize(
    "given",
    [
        "",
        "127.0.0.1:1",
        "ftp://127.0.0.1",
        "http://",
        "http:///x",
        "http://[::1",
        "http://:1",
        "http://127.0.0.1:1/rest/v1",
        "http://127.0.0.1:1?apikey=hidden",
        "http://127.0.0.1:1#hidden",
        "http://me:hidden@127.0.0.1:1",
        "http://:hidden@127.0.0.1:1",
        "http://@127.0.0.1:1",
        "http://127.0.0.1\\@hidden.example",
        "http://127.0.0.1:1@hidden.example",
        "http://,:1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://127.0.0.1:0",
    ],
)
def test_an_invalid_api_url_is_rejected_and_not_printed(given: str) -> None:
    with pytest.raises(ConfigError, match="--api-url is not the URL of a project's API") as caught:
        parse_url(given, "--api-url")
    assert "hidden" not in f"{caught.value} {caught.value.hint}"


def environ(**changed: str) -> dict[str, str]:
    keys = {
        "SUPABASE_ANON_KEY": KEYS.anon,
        "SUPABASE_SERVICE_ROLE_KEY": KEYS.service_role,
        "SUPABASE_JWT_SECRET": SECRET,
    }
    return keys | changed


def test_white_space_around_a_key_is_removed() -> None:
    found = keys_from_environment({name: f" {key}\r\n" for name, key in environ().items()})
    assert found == Keys(SECRET, KEYS.anon, KEYS.service_role)
    assert keys_from_environment({}) == Keys("", "", "")


def test_opaque_keys_count_before_the_older_ones() -> None:
    opaque = {
        "SUPABASE_PUBLISHABLE_KEY": KEYS.publishable,
        "SUPABASE_SECRET_KEY": KEYS.secret_key,
    }
    found = keys_from_environment(environ(**opaque))
    assert (found.anon, found.service_role) == (KEYS.publishable, KEYS.secret_key)
    assert keys_from_environment(opaque).anon == KEYS.publishable
    empty = dict.fromkeys(opaque, "")
    assert keys_from_environment(environ(**empty)).anon == KEYS.anon


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("SUPABASE_PUBLISHABLE_KEY", KEYS.secret_key, "is a key of the role service_role"),
        ("SUPABASE_SECRET_KEY", KEYS.publishable, "is a key of the role anon"),
        ("SUPABASE_ANON_KEY", KEYS.secret_key, "is a key of the role service_role"),
        ("SUPABASE_PUBLISHABLE_KEY", KEYS.anon, "does not begin with sb_publishable_"),
        ("SUPABASE_SECRET_KEY", "hidden", "does not begin with sb_secret_"),
    ],
    ids=["secret as publishable", "publishable as secret", "secret as anon", "token", "other text"],
)
def test_an_opaque_key_in_the_wrong_variable_is_an_error(name: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} {message}") as raised:
        keys_from_environment(environ(**{name: key}))
    assert key not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("name", ["SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"])
@pytest.mark.parametrize("odd", ["hid\nden", "hid den", "hídden", "hid\0den"])
def test_a_key_with_invalid_characters_is_rejected(name: str, odd: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{name} contains characters that no key contains"
    ) as caught:
        keys_from_environment(environ(**{name: odd}))
    assert odd not in f"{caught.value} {caught.value.hint}"


def test_swapped_keys_are_rejected() -> None:
    with pytest.raises(ConfigError, match="SUPABASE_ANON_KEY is a key of the role service_role"):
        keys_from_environment(environ(SUPABASE_ANON_KEY=KEYS.service_role))
    with pytest.raises(ConfigError, match="SUPABASE_SERVICE_ROLE_KEY is a key of the role anon"):
        keys_from_environment(environ(SUPABASE_SERVICE_ROLE_KEY=KEYS.anon))


@pytest.mark.parametrize(
    "key",
    ["sb_publishable_x", "", "a.b.c", jwt.encode({}, SECRET), jwt.encode({"role": 1}, SECRET)],
)
def test_a_key_without_a_role_claim_is_accepted(key: str) -> None:
    assert claimed_role(key) is None
    assert keys_from_environment(environ(SUPABASE_ANON_KEY=key)).anon == key


@pytest.mark.parametrize(
    ("url", "proxied"), [("http://localhost:1", False), ("https://abc.example", True)]
)
def test_no_proxy_is_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, url: str, proxied: bool
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with Endpoint(url, KEYS).client() as client:
        assert client.trust_env is proxied
        assert client.follow_redirects is False


def test_repr_contains_no_key() -> None:
    assert (
        repr(Endpoint("http://localhost:1", KEYS))
        == "Endpoint(url='http://localhost:1', keys=Keys())"
    )


def test_the_signing_keys_of_the_project_replace_the_secret(tmp_path: Path) -> None:
    opaque = {
        "SUPABASE_PUBLISHABLE_KEY": KEYS.publishable,
        "SUPABASE_SECRET_KEY": KEYS.secret_key,
    }
    url = "http://127.0.0.1:54321"
    with pytest.raises(ConfigError, match="SUPABASE_JWT_SECRET is not set"):
        api_target("verify", url, tmp_path, opaque, allow_remote=False)
    folder = tmp_path / "supabase"
    folder.mkdir()
    (folder / "config.toml").write_text('[auth]\nsigning_keys_path = "./keys.json"\n')
    (folder / "keys.json").write_text(json.dumps([private_jwk("ES256", "one")]))
    endpoint = api_target("verify", url, tmp_path, opaque, allow_remote=False)
    token = endpoint.keys.claims_token("authenticated", {"sub": "x"})
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "one", "typ": "JWT"}
