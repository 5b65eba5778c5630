"""SARIF 2.1.0: by its official schema, by Microsoft's validator with GitHub's rules, and by what is shown of it."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from supabase_jobs.findings import Severity, Verification
from supabase_jobs.report import FORMATS
from tests.parts import sarif_multitool
from tests.verifications import BAD, GOOD, WRONG

EACH = pytest.mark.parametrize("result", [GOOD, BAD, Verification((), (), 0.0)], ids=["good", "bad", "empty"])
# reachable addresses, texts taken from tables, the commit: none of which a report without network can have
NOT_OURS = {"SARIF2002", "SARIF2003", "SARIF2005", "SARIF2006", "SARIF2012"}


def log(result: Verification) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FORMATS["sarif"](result))
    return document


def results(result: Verification) -> dict[str, Any]:
    return {found["message"]["text"].rpartition("id: ")[2]: found for found in log(result)["runs"][0]["results"]}


@EACH
def test_it_is_valid_by_the_official_schema(result: Verification) -> None:
    schema = json.loads((sarif_multitool().parent / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    jsonschema.validate(log(result), schema)
    broken = log(result)
    broken["runs"][0]["tool"]["driver"].pop("name")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def complaints(document: str, folder: Path) -> set[str]:
    """The rules of Microsoft's validator, with those of GitHub's code scanning, that a log breaks."""
    (folder / "log.sarif").write_text(document, encoding="utf-8")
    words = ["validate", "log.sarif", "--rule-kind", "Sarif;Ghas", "--level", "Error;Warning", "--output", "said.sarif"]
    ran = subprocess.run([sarif_multitool(), *words], cwd=folder, capture_output=True, text=True, check=False)
    assert (folder / "said.sarif").exists(), ran.stdout
    said = json.loads((folder / "said.sarif").read_text(encoding="utf-8"))
    return {found["ruleId"] for found in said["runs"][0]["results"]} - NOT_OURS


@EACH
def test_it_is_what_github_takes(result: Verification, tmp_path: Path) -> None:
    assert complaints(FORMATS["sarif"](result), tmp_path) == set()


def test_the_validator_can_complain(tmp_path: Path) -> None:
    document = log(BAD)
    del document["runs"][0]["results"][0]["ruleId"], document["runs"][0]["results"][0]["ruleIndex"]
    assert complaints(json.dumps(document), tmp_path) != set()


def test_each_result_has_its_rule_level_object_and_place() -> None:
    found = results(BAD)
    assert [found[id]["level"] for id in (WRONG, "structure:public.things:column:more", "plans:unchecked")] == [
        "error", "note", "warning",
    ]  # fmt: skip
    rules = [rule["id"] for rule in log(BAD)["runs"][0]["tool"]["driver"]["rules"]]
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in found.values())
    assert found[WRONG]["ruleId"] == "access/action-8"
    (place,) = found["structure:public.things:index:i|j"]["locations"]
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "public.things"
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "sql/%C3%B1%20b.sql"
    assert place["physicalLocation"]["region"] == {"startLine": 9}


def test_what_no_file_creates_has_a_place_nevertheless() -> None:
    found = results(BAD)["plans:unchecked"]["locations"][0]["physicalLocation"]
    assert found["artifactLocation"]["uri"] in ("sql/%C3%B1%20b.sql", "supabase/migrations/1_things.sql")
    found = results(replace(BAD, locations={}))["plans:unchecked"]["locations"][0]["physicalLocation"]
    assert found["artifactLocation"]["uri"] == "supabase-jobs.toml"


def test_the_same_findings_make_the_same_log_and_fingerprints_outlive_values() -> None:
    assert FORMATS["sarif"](BAD) == FORMATS["sarif"](replace(BAD, milliseconds=1.0))
    moved = replace(
        BAD,
        findings=tuple(replace(f, message="else", severity=Severity.ERROR) for f in BAD.findings),
        locations={},
    )
    prints = [{id: one["partialFingerprints"] for id, one in results(result).items()} for result in (BAD, moved)]
    assert prints[0] == prints[1]
    assert len({json.dumps(one) for one in prints[0].values()}) == len(BAD.findings)


def test_rules_do_not_depend_on_what_was_found() -> None:
    rules = [{rule["id"] for rule in log(result)["runs"][0]["tool"]["driver"]["rules"]} for result in (GOOD, BAD)]
    assert rules[0] < rules[1]
    assert "structure/policy" in rules[0]


def test_what_was_not_checked_is_said() -> None:
    (invocation,) = log(BAD)["runs"][0]["invocations"]
    assert "plans was not checked" in json.dumps(invocation)
