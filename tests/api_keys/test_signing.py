"""Signing keys of a project: ES256 and RS256, and the public keys that check their tokens."""

import json
import uuid
from pathlib import Path

import jwt
import pytest

from supabase_jobs.api.endpoint import keys_from_environment
from supabase_jobs.api.signing import key_set, load_signing_keys, verification_keys
from supabase_jobs.errors import ConfigError
from tests.signing_keys import ALGORITHMS, private_jwk


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_first_key_signs_and_the_published_key_checks(tmp_path: Path, algorithm: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([private_jwk(algorithm, "first"), private_jwk("ES256", "second")]))
    keys = load_signing_keys(file)
    token = keys_from_environment({}, keys).user_token(user := uuid.uuid4())
    head = jwt.get_unverified_header(token)
    assert (head["alg"], head["kid"]) == (algorithm, "first")
    published = jwt.PyJWKSet.from_dict(key_set(keys))["first"]
    claims = jwt.decode(token, published, algorithms=[algorithm], audience="authenticated")
    assert claims["sub"] == str(user)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_private_part_is_published_or_printed(tmp_path: Path, algorithm: str) -> None:
    jwk = private_jwk(algorithm, "first")
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([jwk]))
    keys = load_signing_keys(file)
    published = json.dumps(key_set(keys)) + verification_keys("s" * 40, keys) + repr(keys)
    private = [jwk[name] for name in ("d", "p", "q", "dp", "dq", "qi") if name in jwk]
    assert private
    assert not [part for part in private if part in published]


def test_a_secret_alone_checks_hs256() -> None:
    assert verification_keys("a secret", ()) == "a secret"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[1]",
        '[{"kty": "EC", "alg": "ES256", "kid": "public", "x": "a", "y": "b"}]',
        '[{"kty": "oct", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0", "d": "c2VjcmV0c2VjcmV0"}]',
    ],
)
def test_a_file_without_private_keys_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"keys\.json") as raised:
        load_signing_keys(file)
    assert "c2VjcmV0" not in str(raised.value)
    with pytest.raises(ConfigError, match=r"none\.json"):
        load_signing_keys(tmp_path / "none.json")


def test_a_key_that_cannot_sign_is_an_error_without_the_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('[{"kty": "EC", "alg": "ES256", "crv": "P-256", "d": "verysecret"}]')
    with pytest.raises(ConfigError, match="cannot sign") as raised:
        load_signing_keys(file)[0].sign({"sub": "x"})
    assert "verysecret" not in str(raised.value)


def test_a_secret_in_the_environment_counts_before_the_keys_of_the_project(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([private_jwk("ES256", "first")]))
    environ = {"SUPABASE_JWT_SECRET": "s" * 40}
    token = keys_from_environment(environ, load_signing_keys(file)).user_token(uuid.uuid4())
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
