"""SARIF 2.1.0: valid by the official schema and by Microsoft's validator with the rules of GitHub;
contents.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import pytest

from supabase_jobs.findings import Finding, Id, Severity, Verification
from supabase_jobs.report import write
from supabase_jobs.report.producers.verify import document
from tests.programs import sarif_multitool
from tests.verifications import ACCEPTED, BAD, GOOD, MISMATCH


def written(form: str, result: Verification) -> str:
    return write(document(result), form)


RESULTS = {"good": GOOD, "bad": BAD, "accepted": ACCEPTED, "empty": Verification((), (), 0.0)}
# rules about reachable URLs, message tables and commits, which a report without network cannot
# satisfy
IGNORED_RULES = {"SARIF2002", "SARIF2003", "SARIF2005", "SARIF2006", "SARIF2012"}


def log(result: Verification) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(written("sarif", result))
    return document


def results(result: Verification) -> dict[str, Any]:
    return {
        one["message"]["text"].rpartition("id: ")[2]: one
        for one in log(result)["runs"][0]["results"]
    }


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_the_log_is_valid_by_the_official_schema(result: Verification) -> None:
    schema = json.loads((sarif_multitool().parent / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    jsonschema.validate(log(result), schema)
    broken = log(result)
    broken["runs"][0]["tool"]["driver"].pop("name")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def violations(documents: Mapping[str, str], folder: Path) -> dict[str, set[str]]:
    """The rules of Microsoft's validator, with those of GitHub's code scanning, that each log
    breaks.
    """
    for name, log_text in documents.items():
        (folder / f"{name}.sarif").write_text(log_text, encoding="utf-8")
    options = ("--rule-kind", "Sarif;Ghas", "--level", "Error;Warning", "--output", "output.sarif")
    words = ["validate", *(f"{name}.sarif" for name in documents), *options]
    ran = subprocess.run(
        [sarif_multitool(), *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (folder / "output.sarif").exists(), ran.stdout
    output = json.loads((folder / "output.sarif").read_text(encoding="utf-8"))
    broken: dict[str, set[str]] = {name: set() for name in documents}
    for found in output["runs"][0]["results"]:
        [location] = found["locations"]
        name = PurePosixPath(location["physicalLocation"]["artifactLocation"]["uri"]).stem
        broken[name] |= {found["ruleId"]} - IGNORED_RULES
    return broken


def test_the_logs_satisfy_the_rules_of_github_and_a_broken_one_does_not(tmp_path: Path) -> None:
    logs = {name: written("sarif", result) for name, result in RESULTS.items()}
    document = log(BAD)
    del document["runs"][0]["results"][0]["ruleId"], document["runs"][0]["results"][0]["ruleIndex"]
    found = violations({**logs, "broken": json.dumps(document)}, tmp_path)
    assert found.pop("broken") != set()
    assert found == {name: set() for name in RESULTS}


def test_each_result_has_its_rule_level_object_and_location() -> None:
    by_id = results(BAD)
    assert [
        by_id[id]["level"]
        for id in (MISMATCH, "structure:public.things:column:more", "plans:unchecked")
    ] == [
        "error",
        "note",
        "warning",
    ]
    rules = [rule["id"] for rule in log(BAD)["runs"][0]["tool"]["driver"]["rules"]]
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in by_id.values())
    assert by_id[MISMATCH]["ruleId"] == "access/action-8"
    (location,) = by_id["structure:public.things:index:i|j"]["locations"]
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "public.things"
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "sql/%C3%B1%20b.sql"
    assert location["physicalLocation"]["region"] == {"startLine": 9}


def test_an_object_that_no_file_creates_has_a_default_location() -> None:
    location = results(BAD)["plans:unchecked"]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] in (
        "sql/%C3%B1%20b.sql",
        "supabase/migrations/1_things.sql",
    )
    location = results(replace(BAD, locations={}))["plans:unchecked"]["locations"][0][
        "physicalLocation"
    ]
    assert location["artifactLocation"]["uri"] == "supabase-jobs.toml"


def test_equal_findings_make_equal_logs_and_fingerprints_ignore_values() -> None:
    assert written("sarif", BAD) == written("sarif", replace(BAD, milliseconds=1.0))
    moved = replace(
        BAD,
        findings=tuple(replace(f, message="else", severity=Severity.ERROR) for f in BAD.findings),
        locations={},
    )
    prints = [
        {id: one["partialFingerprints"] for id, one in results(result).items()}
        for result in (BAD, moved)
    ]
    assert prints[0] == prints[1]
    assert len({json.dumps(one) for one in prints[0].values()}) == len(BAD.findings)


def test_rules_do_not_depend_on_the_findings() -> None:
    rules = [
        {rule["id"] for rule in log(result)["runs"][0]["tool"]["driver"]["rules"]}
        for result in (GOOD, BAD)
    ]
    assert rules[0] < rules[1]
    assert "structure/policy" in rules[0]


@pytest.mark.parametrize(
    ("id", "area", "object", "rule"),
    [
        (
            "plans:duplicate_index:public.things:i|j",
            "plans",
            "public.things",
            "plans/duplicate_index",
        ),
        ("plans:index:i|j", "plans", "public.things", "plans/index"),
        ("plans:foreign key:public.things:owner", "plans", "public.things", "plans/foreign-key"),
        (
            "access:public.things, odd requests:a guest:blind update",
            "access",
            "public.things",
            "access/blind-update",
        ),
        (
            "functions:public.things():it returns one",
            "functions",
            "public.things()",
            "functions/it-returns-one",
        ),
    ],
)
def test_a_rule_does_not_contain_the_name_of_an_object(
    id: str, area: str, object: str, rule: str
) -> None:
    finding = Finding(Id(*id.split(":")), area, Severity.ERROR, object, "differs", "Fix it.")
    assert results(replace(BAD, findings=(finding,)))[id]["ruleId"] == rule


def test_what_is_accepted_unchecked_is_a_suppressed_result_with_the_reason() -> None:
    (suppression,) = results(ACCEPTED)["plans:unchecked"]["suppressions"]
    assert suppression == {
        "kind": "external",
        "status": "accepted",
        "justification": "no index matters here",
    }
    assert [id for id, one in results(ACCEPTED).items() if "suppressions" in one] == [
        "plans:unchecked"
    ]
    (invocation,) = log(ACCEPTED)["runs"][0]["invocations"]
    assert invocation["toolExecutionNotifications"] == []


def test_unchecked_areas_are_notifications() -> None:
    (invocation,) = log(BAD)["runs"][0]["invocations"]
    assert "plans was not checked" in json.dumps(invocation)
