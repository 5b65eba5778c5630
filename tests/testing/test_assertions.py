"""Assertions: the outcome with which each passes, and the messages with which it fails."""

import re
from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from supabase_jobs.testing import Rls

ANN, BOB = UUID(int=1), UUID(int=2)
SELECT = "select * from notes where owner = %s"
INSERT = "insert into notes (owner) values (%s)"
UPDATE = "update notes set body = 'x' where owner = %s"
DELETE = "delete from notes where owner = %s"


@pytest.fixture
def rls(rls: Rls) -> Rls:
    """The fixture with a note that belongs to Ann."""
    rls.owner.execute("insert into notes (owner, body) values (%s, 'hello')", [ANN])
    return rls


def failure(assertion: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        assertion()
    return str(caught.value)


def all_notes(rls: Rls) -> object:
    return rls.owner.rows("select owner, body from notes order by id")


@pytest.mark.parametrize("statement", [SELECT, UPDATE])
def test_assert_hidden_passes_for_another_user(rls: Rls, statement: str) -> None:
    rls.as_user(BOB).assert_hidden(statement, [ANN])


def test_assert_allowed_returns_the_rows(rls: Rls) -> None:
    assert rls.as_user(ANN).assert_allowed("select body from notes", count=1) == [("hello",)]


def test_assert_denied_passes_without_a_privilege(rls: Rls) -> None:
    rls.as_user(ANN).assert_denied(DELETE, [ANN])


def test_assert_violates_passes_when_with_check_refuses(rls: Rls) -> None:
    rls.as_user(BOB).assert_violates(INSERT, [ANN])


def test_assert_fails_passes_for_its_sqlstate(rls: Rls) -> None:
    rls.as_user(ANN).assert_fails(
        "23514", "insert into notes (owner, body) values (%s, repeat('x', 100))", [ANN]
    )


def test_assertions_and_outcome_roll_back(rls: Rls) -> None:
    before = all_notes(rls)
    ann = rls.as_user(ANN)
    ann.assert_allowed(INSERT, [ANN])
    assert ann.outcome(UPDATE, [ANN]).name == "rows"
    rls.as_user(BOB).assert_hidden(UPDATE, [ANN])  # its control updates as the owner
    assert all_notes(rls) == before


def test_a_failed_assertion_rolls_back_and_the_transaction_continues(rls: Rls) -> None:
    before = all_notes(rls)
    failure(lambda: rls.as_user(ANN).assert_denied(UPDATE, [ANN]))
    failure(lambda: rls.as_user(ANN).assert_hidden("select * from nowhere"))
    assert all_notes(rls) == before


@pytest.mark.parametrize(
    ("statement", "owner", "name"),
    [
        (SELECT, ANN, "rows"),
        (SELECT, BOB, "hidden"),
        (DELETE, ANN, "denied"),
        (INSERT, BOB, "violates"),
    ],
)
def test_outcome_has_a_name(rls: Rls, statement: str, owner: UUID, name: str) -> None:
    outcome = rls.as_user(ANN).outcome(statement, [owner])
    assert outcome.name == name
    assert outcome.refused is (name != "rows")


def test_insufficient_privilege_raised_by_a_function_is_denied(rls: Rls) -> None:
    rls.owner.execute(
        "create function guarded() returns void language plpgsql as $$ begin"
        " raise exception 'not for you' using errcode = 'insufficient_privilege'; end $$"
    )
    rls.as_anon().assert_denied("select guarded()")


def test_violates_is_not_denied(rls: Rls) -> None:
    rls.as_user(BOB).assert_violates(INSERT, [ANN])
    with pytest.raises(AssertionError, match="expected denied, got violates"):
        rls.as_user(BOB).assert_denied(INSERT, [ANN])


def test_a_statement_without_a_row_count_is_allowed(rls: Rls) -> None:
    rls.owner.assert_allowed("truncate comments")


def test_assert_hidden_is_inconclusive_on_an_empty_table(rls: Rls) -> None:
    text = failure(lambda: rls.as_user(BOB).assert_hidden(SELECT, [BOB]))
    assert text.startswith("inconclusive: the owner finds no row either")
    assert "Insert it first with rls.owner" in text


def test_assert_hidden_is_inconclusive_if_the_statement_fails_for_the_owner(rls: Rls) -> None:
    rls.owner.execute(
        "create function only_bob() returns boolean language plpgsql as $$ begin"
        " if auth.uid() is null then raise exception 'nobody'; end if; return false;"
        " end $$"
    )
    statement = "select * from notes where only_bob() or owner = %s"
    text = failure(lambda: rls.as_user(BOB).assert_hidden(statement, [ANN]))
    assert "inconclusive: the statement fails for the owner" in text
    assert "P0001 nobody" in text
    rls.as_user(BOB).assert_hidden(statement, [ANN], control=SELECT)
    rls.as_user(BOB).assert_hidden(
        statement, [ANN], control=("select from notes where body = %s", ["hello"])
    )
    assert "control:  select * from notes where owner = %s and false" in failure(
        lambda: rls.as_user(BOB).assert_hidden(statement, [ANN], control=SELECT + " and false")
    )


def test_a_constraint_error_of_the_owner_proves_that_the_row_exists(rls: Rls) -> None:
    rls.owner.execute("insert into comments select id from notes")
    rls.owner.execute("grant delete on notes to authenticated")
    rls.as_user(BOB).assert_hidden(DELETE, [ANN])


def test_assert_hidden_is_inconclusive_if_the_row_is_hidden_from_the_owner(rls: Rls) -> None:
    with Rls(rls.connection) as other, other.as_user(BOB), Rls(rls.connection) as as_bob:
        assert as_bob.owner.identity.role == "authenticated"
        assert "inconclusive" in failure(lambda: as_bob.as_user(BOB).assert_hidden(SELECT, [ANN]))


UPDATE_ALL = "update notes set body = 'mine'"


@pytest.mark.parametrize(
    ("expected", "sql"),
    [
        ("hidden", "select from notes"),
        ("42P01", "select from nowhere"),
        ("denied", "delete from notes"),
    ],
)
def test_assert_outcome_compares_any_outcome(rls: Rls, expected: str, sql: str) -> None:
    rls.as_user(BOB).assert_outcome(expected, sql)
    assert f"expected rows, got {expected}" in failure(
        lambda: rls.as_user(BOB).assert_outcome("rows", sql)
    )


def test_assert_untouched_passes_for_a_statement_without_where(rls: Rls) -> None:
    rls.as_user(BOB).assert_untouched(SELECT, [ANN], by=UPDATE_ALL)


def test_assert_untouched_passes_for_a_denied_statement(rls: Rls) -> None:
    rls.as_user(BOB).assert_untouched(SELECT, [ANN], by="delete from notes")


def test_assert_untouched_detects_an_update_policy_without_using(rls: Rls) -> None:
    """An UPDATE with WHERE does not: it must also satisfy the policy for SELECT."""
    rls.owner.execute('alter policy "users change their own notes" on notes using (true)')
    rls.as_user(BOB).assert_hidden(UPDATE, [ANN])
    before = all_notes(rls)
    text = failure(
        lambda: rls.as_user(BOB).assert_untouched(
            SELECT, [ANN], by="update notes set owner = auth.uid()"
        )
    )
    assert text.startswith("expected an unchanged target, but the statement changed it")
    assert "before:   (1, UUID('00000000-0000-0000-0000-000000000001'), None, 'hello')" in text
    assert "after:    no row" in text
    assert all_notes(rls) == before


def test_assert_untouched_is_inconclusive_without_a_target_row(rls: Rls) -> None:
    text = failure(lambda: rls.as_user(BOB).assert_untouched(SELECT, [BOB], by=UPDATE_ALL))
    assert text.startswith("inconclusive: the target query returns no row for the owner")


def test_assert_untouched_is_inconclusive_if_the_owner_does_not_change_the_target(rls: Rls) -> None:
    text = failure(
        lambda: rls.as_user(BOB).assert_untouched(SELECT, [ANN], by="update notes set body = body")
    )
    assert text.startswith(
        "inconclusive: the statement does not change the target for the owner either"
    )


def test_assert_untouched_fails_for_an_error_that_is_not_a_refusal(rls: Rls) -> None:
    text = failure(
        lambda: rls.as_user(BOB).assert_untouched(SELECT, [ANN], by="update nowhere set x = 1")
    )
    assert text.startswith("expected an unchanged target, but the statement failed with 42P01")


def test_assert_allowed_compares_the_count(rls: Rls) -> None:
    text = failure(lambda: rls.as_user(ANN).assert_allowed(SELECT, [ANN], count=2))
    assert text.startswith("expected 2 rows, got 1")


def test_a_failure_shows_outcome_identity_sql_and_policies(rls: Rls) -> None:
    rls.owner.execute('drop policy "devices read their own notes" on notes')
    rls.owner.execute('drop policy "devices write their own notes" on notes')
    rls.owner.execute("create policy everyone on notes for select to anon using (true)")
    rls.owner.execute(
        "create policy recent on notes as restrictive for all using (id > 0) with check (id < 9)"
    )
    rls.owner.execute("insert into notes (owner) values (%s), (%s), (%s)", [BOB, BOB, BOB])
    text = failure(
        lambda: rls.as_guest("d1", headers={"A": "b"}).assert_hidden("select *\n  from notes")
    )
    rows = "\n".join(
        f"  row:      ({n}, UUID('{owner}'), None, {body!r})"
        for n, owner, body in ((1, ANN, "hello"), (2, BOB, ""), (3, BOB, ""))
    )
    assert (
        text
        == f"""\
expected hidden, got rows
  actual:   rows: the statement succeeded, 4 rows
  as:       role anon
  claims:   {{'role': 'anon'}}
  headers:  {{'A': 'b', 'X-Device': 'd1'}}
  SQL:      select * from notes
{rows}
            … and 1 row more
  table:    public.notes: anon has select, insert; row level security is on; policies for anon:
  table:      everyone for select using (true)
  table:      recent as restrictive for all using ((id > 0)) with check ((id < 9))
  hint:     row level security is off on the table, or a policy's USING allows these rows. Permissive policies for the \
same command are combined with OR."""
    )


@pytest.mark.parametrize(
    ("expected", "statement", "owner", "hint"),
    [
        (
            "hidden",
            DELETE,
            ANN,
            "a privilege is missing, so no policy was evaluated. If this is intended, use"
            " assert_denied.",
        ),
        (
            "hidden",
            INSERT,
            BOB,
            "only a policy's WITH CHECK refused the row. If this is intended, use assert_violates.",
        ),
        (
            "denied",
            SELECT,
            ANN,
            "the privilege is granted. Supabase's default privileges grant everything",
        ),
        (
            "denied",
            SELECT,
            BOB,
            "the privilege is granted, and only policies hide the rows. If this is intended, use"
            " assert_hidden.",
        ),
        (
            "violates",
            SELECT,
            ANN,
            "row level security is off on the table, or a policy's WITH CHECK allows this row.",
        ),
        ("violates", UPDATE, BOB, "the statement affected no row, so WITH CHECK was not evaluated"),
        ("violates", DELETE, ANN, "a privilege is missing"),
        ("allowed", SELECT, BOB, "no policy's USING allows the row, or the row does not exist"),
        ("allowed", DELETE, ANN, "a GRANT is missing"),
        ("allowed", INSERT, BOB, "no policy's WITH CHECK allows the new row"),
        ("denied", "select * from nowhere where %s = 1", 1, "the table does not exist"),
        (
            "allowed",
            "insert into notes (owner, body) values (%s, repeat('x', 100))",
            ANN,
            "a constraint failed, before or after row level security was checked",
        ),
    ],
)
def test_a_failure_has_a_hint(
    rls: Rls, expected: str, statement: str, owner: object, hint: str
) -> None:
    ann = rls.as_user(ANN)
    text = failure(lambda: getattr(ann, f"assert_{expected}")(statement, [owner]))
    assert f"hint:     {hint}" in text
    assert "role authenticated" in text


def test_a_failure_shows_that_row_level_security_is_off(rls: Rls) -> None:
    rls.owner.execute("alter table notes disable row level security")
    text = failure(lambda: rls.as_user(BOB).assert_hidden(SELECT, [ANN]))
    assert (
        "public.notes: authenticated has select, insert, update; row level security is off" in text
    )
    assert "users read" not in text


def test_a_failure_shows_that_a_role_bypasses_row_level_security(rls: Rls) -> None:
    text = failure(lambda: rls.as_service().assert_hidden("select * from notes"))
    assert "row level security is on, and service_role bypasses it" in text


def test_a_failure_shows_that_a_table_owner_bypasses_row_level_security_unless_forced(
    rls: Rls,
) -> None:
    rls.owner.execute(
        "grant create on schema public to authenticated; create table bare (id int);"
        "alter table bare enable row level security; insert into bare values (1);"
        "create policy all_of_it on bare using (true);"
        "alter table bare owner to authenticated"
    )
    text = failure(lambda: rls.as_user(ANN).assert_hidden("select * from bare"))
    assert "row level security is on, and authenticated bypasses it" in text
    rls.owner.execute("alter table bare force row level security")
    text = failure(lambda: rls.as_user(ANN).assert_hidden("select * from bare"))
    assert "all_of_it for all using (true)" in text


def test_a_failure_shows_that_no_policy_applies_to_a_role(rls: Rls) -> None:
    rls.owner.execute(
        "create table bare (id int); alter table bare enable row level security;"
        "insert into bare values (1); grant select on bare to anon"
    )
    text = failure(lambda: rls.as_anon().assert_allowed("select * from bare"))
    assert "row level security is on, and no policy applies to anon" in text
    assert "as owner: rows" in text


def test_a_failure_looks_through_views(rls: Rls) -> None:
    rls.owner.execute(
        "create view all_notes as select * from notes; grant select on all_notes to anon"
    )
    text = failure(lambda: rls.as_anon().assert_hidden("select * from all_notes"))
    assert re.search(r"table: +public\.notes: anon has select", text)


def test_a_long_value_is_truncated(rls: Rls) -> None:
    text = failure(lambda: rls.as_user(BOB).assert_hidden("select %s", ["x" * 1000]))
    assert max(map(len, text.splitlines())) < 260


def test_a_statement_timeout_is_raised_not_an_outcome(rls: Rls) -> None:
    rls.connection.execute("set local statement_timeout = '50ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        rls.as_anon().assert_denied("select pg_sleep(1)")


def test_ids_are_strings_or_uuids(rls: Rls) -> None:
    rls.as_user(str(BOB)).assert_hidden(SELECT, [str(ANN)])
    rls.as_guest(uuid4()).assert_hidden("select * from notes")
