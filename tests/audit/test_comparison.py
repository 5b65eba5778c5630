"""Kinds of information that answers in several worlds show."""

import pytest

from supabase_jobs.audit.probes.comparison import Answer, Answers, Flow, flow

A_ID, B_ID = "a0000000-0000-4000-8000-000000000001", "b0000000-0000-4000-8000-000000000002"


def kind(
    first: str,
    absent: str,
    other: str | None = None,
    *,
    again: str | None = None,
    is_general: bool = True,
    error: str = "",
) -> Flow | None:
    answers = Answers(
        first=Answer(first),
        again=Answer(first if again is None else again),
        absent=Answer(absent, error),
        other=Answer(first if other is None else other),
    )
    return flow(answers, ids={A_ID}, contents={"7", "12.50"}, is_general=is_general)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(kind("x y", "x y"), None, id="nothing depends on the rows"),
        pytest.param(kind("x 1", "x", again="x 2"), None, id="a sequence"),
        pytest.param(kind("NOTE", "", "OTHER"), Flow.CONTENTS, id="a text, also in upper case"),
        pytest.param(kind(f"{B_ID} 7", B_ID, f"{B_ID} 8"), Flow.CONTENTS, id="a number of a row"),
        pytest.param(
            kind("12.5", "0", "13.5", is_general=False), Flow.CONTENTS, id="without its zeros"
        ),
        pytest.param(kind(f"{A_ID} 19", "", f"{A_ID} 20"), Flow.DERIVED, id="a sum for each user"),
        pytest.param(kind("19", "3", "20", is_general=False), Flow.DERIVED, id="a sum by an id"),
        pytest.param(kind("19", "3", "20"), Flow.TOTAL, id="a sum of all rows"),
        pytest.param(kind(f"{A_ID} {B_ID}", B_ID), Flow.IDS, id="ids"),
        pytest.param(
            kind("t", "f", "f", is_general=False), Flow.EXISTENCE, id="yes or no by an id"
        ),
        pytest.param(kind("t", "f", "f"), Flow.TOTAL, id="yes or no about all rows"),
        pytest.param(kind("3", "2"), Flow.TOTAL, id="a count of all rows"),
        pytest.param(kind("3", "2", is_general=False), Flow.EXISTENCE, id="a count by an id"),
        pytest.param(kind("gold 3 free 1", "free 1"), Flow.EXISTENCE, id="a count of each kind"),
        pytest.param(
            kind("t", "", error="P0002", is_general=False), Flow.EXISTENCE, id="no data found"
        ),
    ],
)
def test_kind_of_flow(found: Flow | None, expected: Flow | None) -> None:
    assert found is expected


def test_an_error_says_nothing() -> None:
    answers = Answers(Answer("", "42501"), Answer("", "42501"), Answer("x"), Answer("y"))
    assert flow(answers, ids=(), contents=(), is_general=True) is None


def test_a_call_without_a_result_says_whether_it_succeeds() -> None:
    refused = Answer("", "P0001")
    answers = Answers(Answer(""), Answer(""), absent=refused, other=refused)
    assert flow(answers, ids={A_ID}, contents={"7"}, is_general=False) is Flow.EXISTENCE
    answers = Answers(Answer(""), Answer(""), absent=Answer(""), other=refused)
    assert flow(answers, ids={A_ID}, contents={"7"}, is_general=False) is None
