"""Sections `[api]` and `[auth]` of supabase/config.toml."""

from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.config_toml import (
    AccessTokenHook,
    ApiSettings,
    AuthSettings,
    load_api_settings,
    load_auth_settings,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "supabase" / "config.toml"
    path.parent.mkdir()
    return path


def test_defaults_are_those_of_the_supabase_cli(tmp_path: Path, config: Path) -> None:
    default = ApiSettings(("public", "graphql_public"), ("public", "extensions"), 1000)
    assert load_api_settings(tmp_path) == default
    config.write_text("[db]\nmajor_version = 17\n")
    assert load_api_settings(tmp_path) == default


def test_each_key_overrides_its_default(tmp_path: Path, config: Path) -> None:
    config.write_text('[api]\nschemas = ["public", "shop"]\n')
    assert load_api_settings(tmp_path) == ApiSettings(schemas=("public", "shop"))
    config.write_text('[api]\nextra_search_path = ["shop"]\nmax_rows = 5\n')
    assert load_api_settings(tmp_path) == ApiSettings(extra_search_path=("shop",), max_rows=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[api", "config.toml"),
        ("api = 3", "api is not a table"),
        ("[api]\nschemas = 3", "schemas"),
        ("[api]\nextra_search_path = [1]", "extra_search_path"),
        ("[api]\nmax_rows = 'many'", "max_rows"),
    ],
)
def test_invalid_values_are_rejected(tmp_path: Path, config: Path, text: str, message: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_api_settings(tmp_path)


def test_default_privileges_are_on_or_off_or_not_set(tmp_path: Path) -> None:
    file = tmp_path / "supabase" / "config.toml"
    file.parent.mkdir()
    for text, expected in (("", None), ("auto_expose_new_tables = false", False)):
        file.write_text(f"[api]\n{text}\n")
        assert load_api_settings(tmp_path).auto_expose_new_tables is expected
    file.write_text('[api]\nauto_expose_new_tables = "no"\n')
    with pytest.raises(ConfigError, match="auto_expose_new_tables is neither true nor false"):
        load_api_settings(tmp_path)


HOOK = """[auth.hook.custom_access_token]
enabled = {enabled}
uri = "{uri}"
"""


def test_defaults_of_auth_are_those_of_the_supabase_cli(tmp_path: Path, config: Path) -> None:
    assert load_auth_settings(tmp_path) == AuthSettings(True, False, None)
    config.write_text("[auth]\nsite_url = 'http://127.0.0.1:3000'\nunknown_key = 1\n")
    assert load_auth_settings(tmp_path) == AuthSettings(True, False, None)


def test_sign_up_and_anonymous_sign_ins_are_read(tmp_path: Path, config: Path) -> None:
    config.write_text("[auth]\nenable_signup = false\nenable_anonymous_sign_ins = true\n")
    assert load_auth_settings(tmp_path) == AuthSettings(False, True, None)


@pytest.mark.parametrize(
    ("uri", "function"),
    [
        ("pg-functions://postgres/public/add_claims", ("public", "add_claims")),
        ("PG-Functions://postgres/private/add_claims", ("private", "add_claims")),
        ("https://example.com/hook", None),
        ("http://127.0.0.1:9000/hook", None),
    ],
)
def test_an_enabled_hook_is_a_function_or_a_web_service(
    tmp_path: Path, config: Path, uri: str, function: tuple[str, str] | None
) -> None:
    config.write_text(HOOK.format(enabled="true", uri=uri))
    hook = load_auth_settings(tmp_path).custom_access_token
    assert hook == AccessTokenHook(uri)
    assert hook is not None
    assert hook.function == function


def test_a_hook_that_is_not_enabled_is_none(tmp_path: Path, config: Path) -> None:
    config.write_text(HOOK.format(enabled="false", uri="pg-functions://postgres/public/f"))
    assert load_auth_settings(tmp_path).custom_access_token is None
    config.write_text("[auth.hook.custom_access_token]\nuri = 'pg-functions://postgres/public/f'\n")
    assert load_auth_settings(tmp_path).custom_access_token is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[auth]\nenable_signup = 'yes'", "enable_signup is neither true nor false"),
        ("[auth.hook]\ncustom_access_token = 1", "custom_access_token is not a table"),
        (HOOK.format(enabled="true", uri=""), "uri names no function"),
        (
            HOOK.format(enabled="true", uri="pg-functions://postgres/public"),
            "uri names no function",
        ),
        (HOOK.format(enabled="true", uri="ftp://example.com/a"), "uri names no function"),
        (
            HOOK.format(enabled="'often'", uri="https://example.com"),
            "enabled is neither true nor false",
        ),
    ],
)
def test_invalid_values_of_auth_are_rejected(
    tmp_path: Path, config: Path, text: str, message: str
) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_auth_settings(tmp_path)
