"""Claims of keys and access tokens; secrets that are too short."""

import time
import uuid

import jwt
import pytest

from supabase_jobs.api.keys import Keys, new_keys, sign
from supabase_jobs.errors import ConfigError

SECRET = "a secret of thirty-two characters or more"


def claims(token: str, **more: str) -> dict[str, object]:
    found: dict[str, object] = jwt.decode(token, SECRET, algorithms=["HS256"], **more)  # type: ignore[arg-type]
    return found


def test_keys_contain_their_role_and_expire_after_ten_years() -> None:
    keys = new_keys(SECRET)
    for key, role in ((keys.anon, "anon"), (keys.service_role, "service_role")):
        found = claims(key)
        assert found["role"] == role
        assert "sub" not in found
        assert int(str(found["exp"])) - time.time() > 9 * 365 * 24 * 3600


def test_a_user_token_has_the_claims_of_supabase_auth() -> None:
    user = uuid.uuid4()
    found = claims(
        new_keys(SECRET).user_token(user, email="a@example.org", is_anonymous=True),
        audience="authenticated",
    )
    assert (found["sub"], found["role"], found["email"]) == (
        str(user),
        "authenticated",
        "a@example.org",
    )
    assert found["is_anonymous"] is True
    assert 3500 < int(str(found["exp"])) - time.time() <= 3600


def test_each_project_gets_a_new_secret() -> None:
    assert new_keys().secret != new_keys().secret


def test_a_short_secret_is_rejected() -> None:
    with pytest.raises(ConfigError, match="32"):
        sign("short", {})


def test_repr_contains_no_secret() -> None:
    keys = new_keys(SECRET)
    assert not any(hidden in repr(keys) for hidden in (keys.secret, keys.anon, keys.service_role))
    assert repr(keys) == "Keys()"
    assert isinstance(keys, Keys)
