"""operations.check_results: the JSON Schemas of result and metadata, and the sample."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jsonschema import Draft202012Validator
from psycopg.types.json import Jsonb

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import ConfigError, PrivilegeError
from supabase_jobs.operations import check_results
from supabase_jobs.operations.statements import NotAppliedError, statement
from tests.fix_db import Make

ROOT = Path(__file__).parents[2]
DOCUMENTED = [
    json.loads(block)
    for block in re.findall(
        r"```json\n(.*?)```", (ROOT / "docs" / "RESULT_FORMAT.md").read_text("utf-8"), re.DOTALL
    )
]
RESULT, METADATA = DOCUMENTED
NAMES = ("result", "metadata")
PACKAGED = check_results.load_schemas({})


def problems(result: Any = RESULT, metadata: Any = METADATA) -> dict[str, str]:
    """The deviations of one job: path and problem."""
    sample = check_results.compare([{"id": "1", "result": result, "metadata": metadata}], PACKAGED)
    assert sample.size == 1
    assert sample.deviating == bool(sample.deviations)
    return {deviation.path: deviation.problem for deviation in sample.deviations}


def changed(document: Any, path: str, value: Any) -> Any:
    """A copy of a document with another value at a path like `media.type`; Ellipsis removes the
    key.
    """
    copy = json.loads(json.dumps(document))
    *keys, last = path.split(".")
    parent = copy
    for key in keys:
        parent = parent[int(key)] if key.isdigit() else parent[key]
    if value is ...:
        del parent[last]
    else:
        parent[last] = value
    return copy


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_valid_and_named_after_a_column(name: str) -> None:
    schema = json.loads((check_results.SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:supabase-jobs:{name}"
    assert sorted(path.name for path in check_results.SCHEMAS.iterdir()) == sorted(
        f"{n}.schema.json" for n in NAMES
    )


def test_documented_examples_are_valid_and_show_every_property() -> None:
    assert problems() == {}
    for name, document in zip(NAMES, DOCUMENTED, strict=True):
        schema = json.loads((check_results.SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
        assert set(schema["properties"]) == set(document)


def test_optional_and_additional_properties_are_valid() -> None:
    result = RESULT
    for path in ("media.video_url", "media.thumbnail_url", "transcription", "vision"):
        result = changed(result, path, None)
    for path in ("media.video_url", "entities.0.priority", "metrics.views", "tweet.author_name"):
        result = changed(result, path, ...)
    assert problems(changed(result, "more", 1), {}) == {}
    assert problems(changed(result, "entities", []), {"more": None}) == {}


@pytest.mark.parametrize(
    ("path", "value", "reported_path", "problem"),
    [
        ("media", ..., "result.media", "is missing"),
        ("tweet.text", ..., "result.tweet.text", "is missing"),
        ("transcription", ["secret"], "result.transcription", "is not string or null"),
        ("media.post_id", 1234567890, "result.media.post_id", "is not string"),
        ("media.post_id", "", "result.media.post_id", "is shorter than 1"),
        ("entities.0.name", {"secret": 1}, "result.entities[].name", "is not string"),
        ("metrics.likes", -1, "result.metrics.likes", "is less than 0"),
        ("metrics.likes", 1.5, "result.metrics.likes", "is not integer"),
        ("tweet.author_handle", "secret", "result.tweet.author_handle", "does not match ^@"),
    ],
)
def test_a_deviating_result_is_reported(
    path: str, value: Any, reported_path: str, problem: str
) -> None:
    assert problems(changed(RESULT, path, value)) == {reported_path: problem}


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ([], "metadata"),
        ({"retry_count": "0"}, "metadata.retry_count"),
        ({"last_check": "yesterday"}, "metadata.last_check"),
        ({"processing_time_ms": -1}, "metadata.processing_time_ms"),
        ({"server_id": None}, "metadata.server_id"),
    ],
)
def test_deviating_metadata_is_reported(metadata: Any, path: str) -> None:
    assert list(problems(metadata=metadata)) == [path]


@pytest.mark.parametrize("result", [None, [], "secret", 1, {}])
def test_a_result_of_another_type_is_reported_without_its_value(result: Any) -> None:
    reported = problems(result)
    assert len(reported) == (6 if result == {} else 1)
    assert not [text for text in (*reported, *reported.values()) if "secret" in text]


def insert_jobs(connection: Connection, *results: Any, status: str = "completed") -> None:
    """Insert a job for each result, a minute apart, the newest first."""
    connection.execute(
        "with u as (insert into auth.users (id) values (gen_random_uuid()) returning id)"
        " insert into public.async_jobs (url, status, user_id, result, updated_at)"
        " select 'u', %s, u.id, r, now() - n * interval '1 minute'"
        " from u, unnest(%s::jsonb[]) with ordinality as t (r, n)",
        (status, [None if result is None else Jsonb(result) for result in results]),
    )


def test_the_sample_holds_the_newest_completed_jobs(make_database: Make, each_major: int) -> None:
    url = make_database("applied", each_major).url
    wrong = changed(changed(RESULT, "vision", 1), "metrics", ...)
    with psycopg.connect(url) as connection:
        insert_jobs(connection, RESULT, wrong, changed(RESULT, "vision", 2), None, {})
        insert_jobs(connection, 1, 2, 3, status="failed")
        ids = [
            str(row[0])
            for row in connection.execute(
                "select id from public.async_jobs order by updated_at desc, url"
            )
        ]
        connection.execute(
            "update public.async_jobs set metadata = jsonb_build_object('last_check', now())"
        )
    with connect(url) as connection:
        three = check_results.check(connection, 3, PACKAGED)
        everything = check_results.check(connection, 100, PACKAGED)
    assert (three.size, everything.size, everything.deviating) == (3, 5, 4)
    assert [(d.path, d.rows) for d in everything.deviations][:2] == [
        ("result.metrics", 2),
        ("result.vision", 2),
    ]
    assert not [d for d in everything.deviations if d.path.startswith("metadata")]
    assert {d.example for d in everything.deviations} <= set(ids)
    assert ("result", "is not object", 1) in [
        (d.path, d.problem, d.rows) for d in everything.deviations
    ]


@pytest.mark.parametrize(
    "unreadable",
    ["'{\"n\": ' || repeat('9', 5000) || '}'", "repeat('[', 3000) || repeat(']', 3000)"],
    ids=["number", "nesting"],
)
def test_json_that_python_cannot_parse_is_a_deviation(applied_url: str, unreadable: str) -> None:
    """A row that is older than the constraint may contain it; the other jobs are still checked."""
    with psycopg.connect(applied_url) as connection:
        connection.execute("alter table public.async_jobs drop constraint chk_valid_metadata")
        insert_jobs(connection, RESULT, changed(RESULT, "vision", 1), RESULT)
        connection.execute(
            f"update public.async_jobs set metadata = ({unreadable})::jsonb where result ->"
            " 'vision' = '1'"
        )
    with connect(applied_url) as connection:
        sample = check_results.check(connection, 10, PACKAGED)
    assert (sample.size, sample.deviating) == (3, 1)
    metadata, vision = sample.deviations
    problems = {"cannot be read: a number is too long, or the nesting too deep"}
    if sys.version_info >= (3, 12) and "[" in unreadable:  # reads 10,000 levels
        problems = {"is not object"}
    assert (metadata.path, {metadata.problem}) == ("metadata", problems)
    assert (vision.path, vision.problem) == ("result.vision", "is not string or null")


def test_the_sample_uses_an_index_scan(applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        insert_jobs(connection, *[RESULT] * 3000)
        connection.execute("analyze public.async_jobs")
        query = statement("check_results/newest").text.replace("$1", "100")
        plan = "\n".join(row[0] for row in connection.execute(f"explain {query}".encode()))
    assert "Index Scan Backward using idx_async_jobs_cleanup" in plan


def test_missing_privileges_and_missing_migrations_raise(
    applied_url: str, platform_url: str
) -> None:
    with (
        pytest.raises(PrivilegeError),
        connect(applied_url.replace("//postgres@", "//authenticator@")) as connection,
    ):
        check_results.check(connection, 1, PACKAGED)
    with pytest.raises(NotAppliedError), connect(platform_url) as connection:
        check_results.check(connection, 1, PACKAGED)


OWN = {
    "type": "object",
    "required": ["pages"],
    "properties": {"pages": {"type": "array", "items": {"$ref": "#/$defs/page"}}},
    "additionalProperties": {"type": "integer"},
    "$defs": {
        "page": {"properties": {"number": {"enum": [1, 2]}}, "patternProperties": {"^x": False}}
    },
}


def own_problems(tmp_path: Path, schema: Any, result: Any) -> dict[str, str]:
    """The deviations of a result from a schema of the project."""
    file = tmp_path / "own.json"
    file.write_text(json.dumps(schema))
    schemas = check_results.load_schemas({"result": file})
    sample = check_results.compare([{"id": "1", "result": result, "metadata": METADATA}], schemas)
    return {deviation.path: deviation.problem for deviation in sample.deviations}


def test_a_schema_of_the_project_takes_the_place_of_the_packaged_one(tmp_path: Path) -> None:
    assert own_problems(tmp_path, OWN, {"pages": [{"number": 2}], "more": 1}) == {}
    assert own_problems(tmp_path, OWN, {"pages": [{"number": 3}]}) == {
        "result.pages[].number": "breaks the rule enum: [1, 2]"
    }
    assert own_problems(tmp_path, OWN, RESULT)["result.pages"] == "is missing"


def test_a_key_that_the_schema_does_not_name_is_not_printed(tmp_path: Path) -> None:
    result = {"pages": [{"x-ray of ana@example.com": 1}], "ana@example.com": "secret"}
    assert own_problems(tmp_path, OWN, result) == {
        "result.*": "is not integer",
        "result.pages[]": "has what is not allowed",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("{", "is not valid JSON"),
        ('{"type": "texte"}', "is no JSON Schema: type: 'texte' is not valid"),
        ("[]", "is no JSON Schema"),
        ('{"pattern": "("}', "is no JSON Schema: pattern"),
    ],
)
def test_a_file_that_is_no_schema(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "own.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        check_results.load_schemas({"result": file})


def test_a_reference_to_another_place_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"refers to https://example\.com/a\.json, which is not"):
        own_problems(tmp_path, {"$ref": "https://example.com/a.json"}, RESULT)
