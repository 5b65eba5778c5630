"""Section `[api]` of supabase/config.toml."""

from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.config_toml import ApiSettings, load_api_settings


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
        ("api = 3", "schemas"),
        ("[api]\nschemas = 3", "schemas"),
        ("[api]\nschemas = 'public'", "schemas"),
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
