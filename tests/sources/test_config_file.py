"""The configuration files of a project, their variables and their remotes."""

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from pathlib import Path
from subprocess import run

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.config_file import CONFIG_FILES, load_config
from supabase_jobs.sources.config_toml import load_api_settings, load_auth_settings
from supabase_jobs.sources.env_files import load_env_files
from tests.programs import SHORT_RUN, supabase_cli

REF = "abcdefghijklmnopqrst"
OTHER = "tsrqponmlkjihgfedcba"


@pytest.fixture(scope="module")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A signing key that the CLI made."""
    made = _cli(tmp_path_factory.mktemp("keys"), "gen", "signing-key", "--algorithm", "ES256")
    key: dict[str, str] = json.loads(made)
    return key


def write(project: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


# what a project brings, the environment of the command, and the key that signs its tokens
SIGNED = {
    "TOML": ({"supabase/config.toml": "[auth]\nsigning_keys_path = './a.json'"}, {}, "a"),
    "JSON before TOML": (
        {
            "supabase/config.toml": "[auth]\nsigning_keys_path = './a.json'",
            "supabase/config.json": '{"auth": {"signing_keys_path": "./b.json"}}',
        },
        {},
        "b",
    ),
    "comments and commas at the end": (
        {
            "supabase/config.jsonc": '{ // a comment with a " in it\n/* { */'
            ' "auth": {"signing_keys_path": "./b.json", /* , */ }, // end\n}'
        },
        {},
        "b",
    ),
    "a comment in config.json": (
        {"supabase/config.json": '{"auth": {"signing_keys_path": "./b.json",}} // end'},
        {},
        "b",
    ),
    "a variable of the process": (
        {"supabase/config.toml": "[auth]\nsigning_keys_path = 'env(KEYS)'"},
        {"KEYS": "./b.json"},
        "b",
    ),
    "the process before .env": (
        {
            "supabase/config.toml": "[auth]\nsigning_keys_path = 'env(KEYS)'",
            "supabase/.env": "KEYS=./a.json\n",
        },
        {"KEYS": "./b.json"},
        "b",
    ),
    "supabase/.env before .env": (
        {
            "supabase/config.toml": "[auth]\nsigning_keys_path = 'env(KEYS)'",
            "supabase/.env": "# keys\nexport KEYS='./b.json' # the second\nOTHER=\"x\\ny\"\n",
            ".env": "KEYS=./a.json\n",
        },
        {},
        "b",
    ),
    ".env of the folder": (
        {
            "supabase/config.toml": "[auth]\nsigning_keys_path = 'env(KEYS)'",
            ".env": "KEYS = ./b.json # a comment\n",
        },
        {},
        "b",
    ),
    ".env.local before .env": (
        {
            "supabase/config.toml": "[auth]\nsigning_keys_path = 'env(KEYS)'",
            "supabase/.env": "KEYS=./a.json\n",
            "supabase/.env.local": 'KEYS="./b.json"\n',
        },
        {},
        "b",
    ),
    "the file of SUPABASE_ENV": (
        {
            "supabase/config.toml": "[auth]\nsigning_keys_path = 'env(KEYS)'",
            "supabase/.env.local": "KEYS=./a.json\n",
            "supabase/.env.test": "KEYS=./b.json\n",
        },
        {"SUPABASE_ENV": "test"},
        "b",
    ),
    "a variable that overrides": (
        {"supabase/config.toml": "[auth]\nsigning_keys_path = './a.json'"},
        {"SUPABASE_AUTH_SIGNING_KEYS_PATH": "./b.json"},
        "b",
    ),
    "an override in .env": (
        {
            "supabase/config.toml": "[auth]\nsigning_keys_path = './a.json'",
            "supabase/.env": "SUPABASE_AUTH_SIGNING_KEYS_PATH=./b.json\n",
        },
        {},
        "b",
    ),
    "a remote that is not addressed": (
        {
            "supabase/config.toml": "[auth]\nsigning_keys_path = './a.json'\n"
            f"[remotes.live]\nproject_id = '{REF}'\n"
            "[remotes.live.auth]\nsigning_keys_path = './b.json'"
        },
        {},
        "a",
    ),
}


@pytest.mark.parametrize("name", SIGNED)
def test_the_file_that_counts_is_that_of_the_cli(
    tmp_path: Path, name: str, signing_key: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files, variables, expected = SIGNED[name]
    write(tmp_path, files)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    for key in ("a", "b"):
        text = json.dumps([{**signing_key, "kid": key}])
        write(tmp_path, {f"supabase/{key}.json": text})
    found = load_auth_settings(tmp_path).signing_keys
    assert found is not None
    assert found.resolve() == tmp_path / "supabase" / f"{expected}.json"
    token = _cli_token(tmp_path)
    assert token is not None
    head = json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))
    assert head["kid"] == expected


# the text of config.toml, and whether the CLI refuses it
TEXTS = {
    "a list with commas": ("[api]\nschemas = 'public,shop'", True),
    "a number for a list": ("[api]\nschemas = 3", False),
    "a number in a list": ("[api]\nschemas = [3]", False),
    "a number as text": ("[api]\nmax_rows = '5'", True),
    "a text for a number": ("[api]\nmax_rows = 'many'", False),
    "a flag as text": ("[api]\nauto_expose_new_tables = 'false'", True),
    "no flag": ("[api]\nauto_expose_new_tables = 'no'", False),
    "a number for a flag": ("[api]\nauto_expose_new_tables = 3", True),
    "an unknown key": ("[api]\nnobody = 1\n[nobody]\nkey = 1", True),
    "a section that is none": ("api = 3", False),
    "a variable that is not set": ("[api]\nmax_rows = 'env(NOBODY_SETS_THIS)'", False),
    "no TOML": ("[api", False),
    "a remote without a project": ("[remotes.live]\nproject_id = 'live'", False),
    "two remotes of one project": (
        f"[remotes.a]\nproject_id = '{REF}'\n[remotes.b]\nproject_id = '{REF}'",
        False,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_accepted_is_what_the_cli_accepts(tmp_path: Path, name: str) -> None:
    text, accepted = TEXTS[name]
    write(tmp_path, {"supabase/config.toml": text})
    assert _accepts(tmp_path) is accepted
    assert (_cli_token(tmp_path) is not None) is accepted


def test_two_files_of_json_are_refused_as_by_the_cli(tmp_path: Path) -> None:
    write(tmp_path, {"supabase/config.json": "{}", "supabase/config.jsonc": "{}"})
    with pytest.raises(ConfigError, match=r"both config\.json and config\.jsonc"):
        load_api_settings(tmp_path)
    assert _cli_token(tmp_path) is None


@pytest.mark.parametrize("file", [str(file) for file in CONFIG_FILES])
def test_a_file_that_is_broken_is_named(tmp_path: Path, file: str) -> None:
    write(tmp_path, {file: "{ [ "})
    with pytest.raises(ConfigError, match=Path(file).name):
        load_api_settings(tmp_path)


def test_the_remote_of_a_project_overrides_its_keys(tmp_path: Path) -> None:
    text = f"""
[api]
schemas = ["public"]
max_rows = 7
[remotes.live]
project_id = "{REF}"
[remotes.live.api]
schemas = ["shop"]
[remotes.other]
project_id = "{OTHER}"
"""
    write(tmp_path, {"supabase/config.toml": text})
    live = load_api_settings(tmp_path, REF)
    assert (live.schemas, live.max_rows) == (("shop",), 7)
    for ref in (None, OTHER, "nobody"):
        assert load_api_settings(tmp_path, ref).schemas == ("public",)


def test_a_line_of_a_variables_file_that_assigns_nothing_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"supabase/.env": "A=1\nsecret value\n"})
    with pytest.raises(ConfigError, match="line 2") as raised:
        load_env_files(tmp_path, {})
    assert "secret value" not in str(raised.value)


def test_the_values_of_a_variables_file(tmp_path: Path) -> None:
    text = "A=1\r\nB = two words  # end\n\nC='a # b'\nD=\"x\\ny\"\nE=\nF=a#b\nG: yes\n"
    write(tmp_path, {".env": text})
    expected = {
        "A": "1",
        "B": "two words",
        "C": "a # b",
        "D": "x\ny",
        "E": "",
        "F": "a#b",
        "G": "yes",
    }
    assert load_env_files(tmp_path, {}) == expected


def test_the_variables_are_not_printed(tmp_path: Path) -> None:
    write(tmp_path, {"supabase/.env": "TOKEN=verysecret\n"})
    assert "verysecret" not in repr(load_config(tmp_path))


def _accepts(project: Path) -> bool:
    try:
        load_api_settings(project)
        load_auth_settings(project)
    except ConfigError:
        return False
    return True


def _cli_token(project: Path) -> str | None:
    """The token that the CLI signs by the configuration of a project; None if it refuses it."""
    printed = _cli(project, "gen", "bearer-jwt", "--role", "anon")
    return next((line for line in printed.splitlines() if line.startswith("eyJ")), None)


def _cli(project: Path, *words: str) -> str:
    own = {"SUPABASE_HOME": str(project / "home"), "SUPABASE_TELEMETRY": "0"}
    environ = {**os.environ, **SHORT_RUN, **own}
    done = run(
        [*supabase_cli(3), *words, "--workdir", str(project)],
        cwd=project.parent,  # the runtime of the CLI reads .env of its folder before the CLI does
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        input="",
    )
    return done.stdout
