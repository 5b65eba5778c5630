"""The JSON Schemas of the TOML files: they accept what the loaders accept, and the `#:schema` lines
lead to them.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from supabase_jobs import settings
from supabase_jobs.audit import baseline
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Audit, AuditFinding, Id, Severity
from supabase_jobs.sources.variables import parse_declarations, resolve
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS, validate_declaration

ROOT = Path(__file__).parents[1]
RAW = "https://raw.githubusercontent.com/supabase-jobs/supabase-jobs/main/"
PATHS = {
    "settings": "supabase_jobs/settings.schema.json",
    "access": "supabase_jobs/audit/access.schema.json",
    "audit": "supabase_jobs/audit/audit.schema.json",
    "manifest": "supabase_jobs/sources/manifest.schema.json",
    "waivers": "supabase_jobs/mutation/waivers.schema.json",
}
SCHEMAS: dict[str, dict[str, Any]] = {
    name: json.loads((ROOT / path).read_text(encoding="utf-8")) for name, path in PATHS.items()
}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCKS = [
    block
    for path in DOCUMENTS
    for block in re.findall(
        r"^ *```toml\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
]
MANIFEST = settings.read_toml(ROOT / "sql" / "manifest.toml")
HASH = "0a" * 32

VALID_SETTINGS = [
    "",
    "migrations = '.'\nsql_dir = '.'\n[variables]\nown = 'x'\nretention_days = 'of another"
    " manifest'",
    "[variables]\nguest_header = 'X-Id'\nretention_days = 0\ndrop_data = true\ncleanup_schedule ="
    " '30 seconds'",
    "[variables]\ncleanup_schedule = '*/10 1-5,7 * jan-mar sun'",
    "[variables]\ncleanup_schedule = '@daily'",
    "[accepted_unchecked]\nplans = 'no privilege'\n'functions:a:b' = { reason = 'a trigger' }",
    f"[allowed_bypasses.'public.f()']\nreason = 'a count'\nsha256 = '{HASH}'",
    "[allowed_privileges]\n'support: select on public.async_jobs' = 'tickets'",
]
# files that the loader refuses; False: what a schema cannot tell
INVALID_SETTINGS = [
    ("migration = 'x'", True),
    ("doors = {}", True),
    ("migrations = 1", True),
    ("migrations = 'no/such/folder'", False),
    ("sql_dir = true", True),
    ("variables = 'x'", True),
    ("allowed_bypasses = []", True),
    ("accepted_unchecked.plans = ' '", True),
    ("accepted_unchecked.plans = 1", True),
    (f"[accepted_unchecked.plans]\nreason = 'x'\nsha256 = '{HASH}'", True),
    ("[allowed_bypasses.'public.f()']\nsha256 = '" + HASH + "'", True),
    ("[allowed_bypasses.'public.f()']\nreason = 'x'\nsha256 = 'abc'", True),
    ("[allowed_privileges.x]\nreason = 'x'\nuntil = 'y'", True),
    ("[variables]\nretention_day = 7", True),
    ("[variables]\nretention_days = '7'", True),
    ("[variables]\nretention_days = -1", True),
    ("[variables]\nretention_days = 2147483648", True),
    ("[variables]\nretention_days = true", True),
    ("[variables]\nguest_header = 'a b'", True),
    ("[variables]\ndrop_data = 1", True),
    ("[variables]\ncleanup_schedule = 'a$b'", True),
    ("[variables]\ncleanup_schedule = 'every night'", True),
    ("[variables]\ncleanup_schedule = 'x'", True),
    ("[variables]\ncleanup_schedule = '0 3 * *'", True),
    ("[variables]\ncleanup_schedule = '61 3 * * *'", False),
    ("[variables]\ncleanup_batch_size = 0", True),
    ("[variables]\nmax_active_jobs_per_guest = 1001", True),
]
VALID_ACCESS = [
    "",
    "[access]\n'public.notes' = { anon = 'none', owner = 'read update(title)' }",
    "[access]\n'public.notes' = { anon = '', owner = ' update(a,b=x, c)  forge join ' }",
    "[functions]\n'public.f()' = 'anon'\n[accepted]\n'read:public.notes' = 'a wiki'",
]
INVALID_ACCESS = [
    "[acess]",
    "access = 1",
    "[access]\n'public.notes' = 'all'",
    "[access]\n'public.notes' = { anon = 1 }",
    "[access]\n'public.notes' = { anon = 'read fly' }",
    "[access]\n'public.notes' = { anon = 'updates' }",
    "functions = ['f']",
    "[functions]\n'public.f()' = ['anon']",
    "[accepted]\nx = 1",
]


def test_the_packaged_files_are_valid() -> None:
    """Their loaders take that for granted."""
    for name, path in {
        "manifest": ROOT / "sql" / "manifest.toml",
        "waivers": PACKAGED_DECLARATIONS / "waivers.toml",
    }.items():
        assert accepts(name, path.read_text(encoding="utf-8"))


def accepts(name: str, text: str) -> bool:
    return Draft202012Validator(SCHEMAS[name]).is_valid(tomllib.loads(text))


def load_settings(folder: Path, text: str) -> None:
    """Read a file as `render` does: the settings, and the variables of the packaged sources."""
    (folder / settings.FILE_NAME).write_text(text, encoding="utf-8")
    loaded = settings.load_settings(folder, {})
    if loaded.sql_dir is None:
        resolve(parse_declarations(MANIFEST["variables"]), loaded.variables)


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("text", VALID_SETTINGS)
def test_settings_that_load_are_valid(tmp_path: Path, text: str) -> None:
    load_settings(tmp_path, text)
    assert accepts("settings", text)


@pytest.mark.parametrize(("text", "by_schema"), INVALID_SETTINGS)
def test_settings_that_do_not_load_are_invalid(tmp_path: Path, text: str, by_schema: bool) -> None:
    with pytest.raises(ConfigError):
        load_settings(tmp_path, text)
    assert accepts("settings", text) != by_schema


@pytest.mark.parametrize("text", VALID_ACCESS)
def test_a_baseline_that_loads_is_valid(tmp_path: Path, text: str) -> None:
    (tmp_path / "access.toml").write_text(text, encoding="utf-8")
    baseline.load(tmp_path / "access.toml")
    assert accepts("access", text)


@pytest.mark.parametrize("text", INVALID_ACCESS)
def test_a_baseline_that_does_not_load_is_invalid(tmp_path: Path, text: str) -> None:
    (tmp_path / "access.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        baseline.load(tmp_path / "access.toml")
    assert not accepts("access", text)


def test_the_schema_has_the_keys_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, "no_such_key = 1")
    known = re.findall(r"\w+", str(caught.value.hint).partition(". ")[0])[2:]
    assert sorted(known) == sorted(SCHEMAS["settings"]["properties"])


def test_the_schema_has_the_variables_of_the_packaged_sources() -> None:
    declared = {}
    for name, schema in SCHEMAS["settings"]["$defs"]["packaged_variables"]["properties"].items():
        kept = {
            key: schema[key]
            for key in ("default", "description", "minimum", "maximum")
            if key in schema
        }
        pattern = {"pattern": schema["pattern"][1:-1]} if "pattern" in schema else {}
        declared[name] = {**kept, **pattern}
    manifest = MANIFEST["variables"]
    assert declared == {
        name: {key: value for key, value in table.items() if key != "format"}
        for name, table in manifest.items()
    }


def test_the_examples_in_the_documents_are_valid() -> None:
    """The file that an example belongs to is the one that has its keys."""
    assert len(BLOCKS) >= 5
    for block in BLOCKS:
        example = tomllib.loads(block)
        [name] = [
            name
            for name, schema in SCHEMAS.items()
            if {*schema.get("required", ())} <= example.keys() <= schema["properties"].keys()
        ]
        assert list(Draft202012Validator(SCHEMAS[name]).iter_errors(example)) == []
        assert "#:schema" not in block or f"#:schema {RAW}{PATHS[name]}\n" in block


def test_the_schema_lines_in_the_documents_lead_to_a_schema() -> None:
    lines = {line for block in BLOCKS for line in block.splitlines() if "#:schema" in line}
    assert f"#:schema {RAW}{PATHS['settings']}" in lines
    assert lines <= {f"#:schema {RAW}{path}" for path in PATHS.values()}


def test_a_written_baseline_names_its_schema_and_is_valid() -> None:
    leak = AuditFinding(
        Id("write", "public.notes", "update"),
        Severity.ERROR,
        "public.notes",
        "leak",
        "fix it",
        "a policy",
    )
    words = {"public.notes": {"stranger": "none", "owner": "read update(body)"}}
    access, functions = baseline.parsed(words), {"public.f()": ("anon",)}
    text = baseline.render(
        Audit((leak,), (), (), (), 1, 1, 1.0, access, functions), baseline.Baseline()
    )
    assert text.splitlines()[0] == f"#:schema {RAW}{PATHS['access']}"
    assert not accepts("access", text), "the reason is missing"
    assert accepts("access", text.replace('= ""', '= "a wiki"'))
    assert tomllib.loads(text)["accepted"] == {leak.id: ""}


@pytest.mark.parametrize("name", ["access", "functions", "plans"])
def test_the_packaged_declarations_are_valid(name: str) -> None:
    """They are not validated when they are loaded, because that takes a tenth of a second."""
    schema = json.loads((PACKAGED_DECLARATIONS / f"{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    declared = settings.read_toml(PACKAGED_DECLARATIONS / f"{name}.toml")
    assert [error.message for error in Draft202012Validator(schema).iter_errors(declared)] == []


@pytest.mark.parametrize(
    ("name", "table", "key", "message"),
    [
        ("access", "api", "cleanup", "api, cleanup: must be a list, not int"),
        ("functions", "scenario", "stops", ": unknown key 'stops'"),
        (
            "plans",
            "query",
            "ordered",
            "active jobs of a guest, ordered: must be a boolean, not int",
        ),
    ],
)
def test_declarations_of_other_sources_are_validated(
    tmp_path: Path, name: str, table: str, key: str, message: str
) -> None:
    declared = settings.read_toml(PACKAGED_DECLARATIONS / f"{name}.toml")
    found = declared[table]
    (found[0] if isinstance(found, list) else found)[key] = 1
    with pytest.raises(ConfigError, match=re.escape(message)):
        validate_declaration(tmp_path / "x.toml", declared, f"{name}.schema.json", "it deviates")
