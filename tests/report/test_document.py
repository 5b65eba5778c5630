"""One Document for every command: each format writes each of them, from the same values."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from supabase_jobs import report
from supabase_jobs.findings import AuditFinding, Id
from supabase_jobs.report import FORMATS, write
from supabase_jobs.report.document import Document
from supabase_jobs.report.producers import access, audit, drift, suite_mutation, verify
from tests import audits, verifications
from tests.report.test_access_reports import BAD as CHANGES
from tests.report.test_drift_reports import DRIFT
from tests.report.test_suite_reports import RESULT as SUITE

DOCUMENTS = {
    "verify": verify.document(verifications.BAD),
    "audit": audit.document(audits.BAD),
    "access": access.document(CHANGES),
    "mutate": suite_mutation.document(SUITE),
    "drift": drift.document(DRIFT),
}
PACKAGE = Path(report.__file__).parent

each_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)


def test_each_module_of_the_folder_is_a_format_and_text_is_the_first() -> None:
    modules = {path.stem for path in (PACKAGE / "formats").glob("[a-z]*.py")}
    assert set(FORMATS) == modules
    assert FORMATS[0] == "text"


@each_document
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_writes_every_document(form: str, document: Document) -> None:
    text = write(document, form)
    assert text.endswith("\n")
    assert text == write(document, form)


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_knows_no_command(form: str) -> None:
    text = (PACKAGE / "formats" / f"{form}.py").read_text(encoding="utf-8")
    assert "producers" not in text
    assert not re.search(r"\.(command|title) (==|!=|in|not in) ", text)


def test_each_kind_of_section_has_a_template() -> None:
    for document in DOCUMENTS.values():
        for section in document.sections:
            assert (PACKAGE / "formats" / "page" / f"{section.kind}.html.jinja").is_file()


def test_json_has_the_fields_of_a_finding_but_not_the_names_of_its_policies() -> None:
    [first, *_] = json.loads(write(DOCUMENTS["audit"], "json"))["findings"]
    left_out = {"policies", "origin", "callers", "column", "kind", "action", "left", "table"}
    names = {field.name for field in fields(AuditFinding)} - left_out
    assert first.keys() == names | {"file", "line"}


def test_a_finding_on_rows_in_a_state_has_the_line_of_its_policy() -> None:
    leak = audits.LEAK
    of_state = AuditFinding(
        id=Id(f"{leak.id}", "state"),
        severity=leak.severity,
        object="public.notes (done = true)",
        message=leak.message,
        fix=leak.fix,
        cause=leak.cause,
        policies=leak.policies,
    )
    [result] = audit.results([of_state], [], audits.GOOD.locations)
    assert result.location == audits.GOOD.locations["public.notes:all"]
