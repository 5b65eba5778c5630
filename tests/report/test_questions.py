"""Questions of an audit: a line each, which fails nothing."""

import json

from supabase_jobs.audit import baseline
from supabase_jobs.findings import Audit, AuditFinding, Id, Severity
from supabase_jobs.report.formats import codequality, junit, markdown, sarif, text
from supabase_jobs.report.formats import json as json_format
from supabase_jobs.report.producers.audit import document

ID = "public:anyone"
ASKED = "Anyone can read all rows of public.notes. Is that intended?"
QUESTION = AuditFinding(Id(*ID.split(":")), Severity.QUESTION, "public.notes", ASKED, "", "")
LEAK = AuditFinding(
    Id("read", "public.a", "select"), Severity.WARNING, "public.a", "leaks", "x;", "a policy"
)
RESULT = Audit((LEAK, QUESTION), (), (), (), 1, 1, 1.0)


def _decided(answers: dict[str, str]) -> AuditFinding:
    known = baseline.Baseline(decisions=answers)
    found = baseline.apply(RESULT, known, strict=False, narrowed=False).findings
    [question] = [one for one in found if one.id == ID]
    return question


def test_text_ends_with_a_line_for_each_question() -> None:
    *_, asked, id_, empty, verdict = text.write(document(RESULT)).splitlines()
    assert (asked, id_) == (f"question: {ASKED}", f"  {ID}")
    assert empty == ""
    assert "1 warning, 1 question" in verdict
    assert verdict.startswith("ok: ")


def test_markdown_has_a_list_with_boxes() -> None:
    assert f"### Questions\n\n- [ ] {ASKED} `{ID}`\n" in markdown.write(document(RESULT))


def test_programs_read_a_question_as_a_note() -> None:
    [_, note] = json.loads(sarif.write(document(RESULT)))["runs"][0]["results"]
    assert (note["level"], note["message"]["text"]) == (
        "note",
        f"public.notes: {ASKED}\nid: {ID}",
    )
    assert json.loads(codequality.write(document(RESULT)))[-1]["severity"] == "info"
    assert f"{ASKED}\nid: {ID}\n</skipped>" in junit.write(document(RESULT))
    contract = json.loads(json_format.write(document(RESULT)))
    assert contract["ok"]
    assert contract["findings"][-1]["severity"] == "question"
    assert contract["summary"]["question"] == 1


def test_baseline_asks_for_an_answer_and_keeps_it() -> None:
    assert f'[decisions]\n"{ID}" = ""\n' in baseline.render(RESULT, baseline.Baseline())
    answered = baseline.Baseline(decisions={ID: "profiles are public"})
    assert f'"{ID}" = "profiles are public"' in baseline.render(RESULT, answered)


def test_entries_without_a_reason_are_counted_and_others_are_no_longer_asked() -> None:
    answered = baseline.Baseline(decisions={ID: "profiles are public"}, accepted={LEAK.id: " "})
    counts = [baseline.without_reason(RESULT, old) for old in (baseline.Baseline(), answered)]
    assert counts == [2, 1]
    shown = [f.severity for f in baseline.with_reasons(RESULT, answered).findings]
    assert shown == [Severity.WARNING, Severity.INFO]


def test_answer_is_the_reason_and_its_absence_a_warning() -> None:
    assert _decided({}) == QUESTION
    decided = _decided({ID: "profiles are public"})
    assert (decided.severity, decided.message) == (
        Severity.INFO,
        f"{ASKED} (decided: profiles are public)",
    )
    open_ = _decided({ID: " "})
    assert open_.severity is Severity.WARNING
    assert open_.fix == f'-- Give the answer in the baseline: [decisions] "{ID}" = "…"'
