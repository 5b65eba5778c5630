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
