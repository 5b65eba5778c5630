"""The reports of `drift`: each format names the difference, and text and JSON have both texts."""

import json

import pytest

from supabase_jobs.findings import Drift, DriftFinding, Id, Severity
from supabase_jobs.report import FORMATS, write
from supabase_jobs.report.producers.drift import document

FINDING = DriftFinding(
    id=Id("drift", "public.todos", "policy", "p"),
    severity=Severity.ERROR,
    object="public.todos",
    kind="policy",
    message='policy "p" is in the database only: for select to anon using (true)',
    capture="create policy p on public.todos for select to anon using (true);",
    restore="drop policy p on public.todos;",
    untried="its restore fails: x",
)
DRIFT = Drift((FINDING,), "127.0.0.1/postgres", 3, 1500.0)
NONE = Drift((), "127.0.0.1/postgres", 1, 1500.0)


def written(form: str, result: Drift) -> str:
    return write(document(result), form)


def test_text_has_both_texts_as_psql_accepts_them() -> None:
    text = written("text", DRIFT)
    assert f"\n{FINDING.capture}\n" in text
    assert f"\n{FINDING.restore}\n" in text
    assert "not tried: its restore fails: x" in text
    assert text.endswith("1 difference: 127.0.0.1/postgres against 3 migrations, 1.5 s\n")
    assert written("text", NONE) == "no drift: 127.0.0.1/postgres against 1 migration, 1.5 s\n"


def test_json_is_the_contract() -> None:
    found = json.loads(written("json", DRIFT))
    assert found["ok"] is False
    [finding] = found["findings"]
    assert finding == {
        "id": FINDING.id,
        "severity": "error",
        "object": "public.todos",
        "kind": "policy",
        "message": FINDING.message,
        "capture": FINDING.capture,
        "restore": FINDING.restore,
        "access": [],
        "untried": FINDING.untried,
    }
    assert found["summary"] == {"findings": 1, "wider": 1, "ms": 1500.0}
    assert json.loads(written("json", NONE))["ok"] is True


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"text", "json"}))
def test_the_other_formats_name_the_difference(form: str) -> None:
    report = written(form, DRIFT)
    assert "public.todos" in report
    assert "drop policy p" in report or form == "codequality"
    if form == "junit":
        assert 'failures="1"' in report
        assert 'failures="0"' in written(form, NONE)
