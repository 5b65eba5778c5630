"""States of rows as values, and the words of a baseline for them."""

import pytest

from supabase_jobs.findings import AccessObject, Clause, Holds, RowState

_SENT = Clause(name="state", holds=Holds.EQUAL, value="sent")
_DELETED = Clause(name="deleted_at", holds=Holds.SET)


@pytest.mark.parametrize(
    "words",
    [
        "published = true",
        "status = paid, deleted_at is set",
        "shows: published = true; status = paid, deleted_at is null",
        "starts_on is in the future",
        "buyer_id of another, ends_on is in the past",
        "2 below private = true, archived_at is set",
        "revoked_at is set, with another key_hash",
        "of a guest",
        "reason = late, or: never; is it",
        "kind = ",
    ],
)
def test_state_prints_its_words(words: str) -> None:
    assert str(RowState.parse(words)) == words


def test_columns_of_words() -> None:
    state = RowState.parse("shows: published = true; status = paid, with another seat")
    assert state.columns == (
        Clause(name="published", holds=Holds.EQUAL, value="true", table="shows"),
        Clause(name="status", holds=Holds.EQUAL, value="paid"),
    )
    assert [one.is_own for one in state.columns] == [False, True]


def test_remark_has_no_columns() -> None:
    assert RowState.remark("bucket avatars").columns == ()


def test_state_of_a_row_above() -> None:
    state = RowState.of(_SENT, _DELETED).above("orders").with_own(RowState.of(_SENT))
    assert str(state) == "orders: state = sent, deleted_at is set; state = sent"
    assert state.combined == 1


def test_state_so_many_levels_above_is_not_its_own() -> None:
    state = RowState.of(_SENT, _DELETED).below(1).below(2)
    assert str(state) == "2 below state = sent, deleted_at is set"
    assert not any(one.is_own for one in state.columns)


def test_value_with_a_comma_is_the_same_state_in_a_baseline() -> None:
    state = RowState.of(Clause(name="reason", holds=Holds.EQUAL, value="late, or never"))
    known = {AccessObject("public.jobs", state)}
    assert AccessObject.parse("public.jobs (reason = late, or never)") in known


def test_object_prints_its_words() -> None:
    assert AccessObject.parse("topic rooms:{id}") == AccessObject("topic rooms:{id}")
    rows = AccessObject.parse("public.posts (published = true)")
    assert rows == AccessObject("public.posts", RowState.parse("published = true"))
    assert str(rows) == "public.posts (published = true)"
