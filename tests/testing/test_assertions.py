"""Each assertion passes for what it says and fails, in words, for everything else."""

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
    """With a note of Ann's."""
    rls.owner.execute("insert into notes (owner, body) values (%s, 'hello')", [ANN])
    return rls


def failing(work: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        work()
    return str(caught.value)


def left(rls: Rls) -> object:
    return rls.owner.rows("select owner, body from notes order by id")


@pytest.mark.parametrize("statement", [SELECT, UPDATE])
def test_hidden_from_another_user(rls: Rls, statement: str) -> None:
    rls.as_user(BOB).assert_hidden(statement, [ANN])


def test_allowed_to_its_owner(rls: Rls) -> None:
    assert rls.as_user(ANN).assert_allowed("select body from notes", count=1) == [("hello",)]


def test_denied_without_a_privilege(rls: Rls) -> None:
    rls.as_user(ANN).assert_denied(DELETE, [ANN])


def test_violates_with_check(rls: Rls) -> None:
    rls.as_user(BOB).assert_violates(INSERT, [ANN])


def test_fails_with_a_state_of_its_own(rls: Rls) -> None:
    rls.as_user(ANN).assert_fails("23514", "insert into notes (owner, body) values (%s, repeat('x', 100))", [ANN])


def test_assertions_and_outcome_leave_nothing(rls: Rls) -> None:
    before = left(rls)
    ann = rls.as_user(ANN)
    ann.assert_allowed(INSERT, [ANN])
    assert ann.outcome(UPDATE, [ANN]).name == "rows"
    rls.as_user(BOB).assert_hidden(UPDATE, [ANN])  # whose control updates as the owner
    assert left(rls) == before


def test_an_assertion_that_fails_leaves_nothing_and_the_test_can_go_on(rls: Rls) -> None:
    before = left(rls)
    failing(lambda: rls.as_user(ANN).assert_denied(UPDATE, [ANN]))
    failing(lambda: rls.as_user(ANN).assert_hidden("select * from nowhere"))
    assert left(rls) == before


@pytest.mark.parametrize(
    ("statement", "owner", "name"),
    [(SELECT, ANN, "rows"), (SELECT, BOB, "hidden"), (DELETE, ANN, "denied"), (INSERT, BOB, "violates")],
)
def test_outcome_names_them(rls: Rls, statement: str, owner: UUID, name: str) -> None:
    found = rls.as_user(ANN).outcome(statement, [owner])
    assert found.name == name
    assert found.refused is (name != "rows")


def test_a_function_that_refuses_is_denied_and_no_violation(rls: Rls) -> None:
    rls.owner.execute(
        "create function guarded() returns void language plpgsql as $$ begin"
        " raise exception 'not for you' using errcode = 'insufficient_privilege'; end $$"
    )
    rls.as_anon().assert_denied("select guarded()")


def test_denied_and_violates_are_told_apart_in_any_language(rls: Rls) -> None:
    """By the function of the server that raised it, never by its words."""
    rls.as_user(BOB).assert_violates(INSERT, [ANN])
    with pytest.raises(AssertionError, match="expected denied, but it came to violates"):
        rls.as_user(BOB).assert_denied(INSERT, [ANN])


def test_a_statement_that_counts_nothing_is_allowed(rls: Rls) -> None:
    rls.owner.assert_allowed("truncate comments")


def test_hidden_proves_nothing_on_an_empty_table(rls: Rls) -> None:
    text = failing(lambda: rls.as_user(BOB).assert_hidden(SELECT, [BOB]))
    assert text.startswith("this proves nothing: as the owner it reaches no row either")
    assert "Insert it first, as rls.owner" in text


def test_hidden_proves_nothing_where_the_owner_fails(rls: Rls) -> None:
    rls.owner.execute("create function only_bob() returns boolean language plpgsql as $$ begin"
                      " if auth.uid() is null then raise exception 'nobody'; end if; return false; end $$")  # fmt: skip
    statement = "select * from notes where only_bob() or owner = %s"
    text = failing(lambda: rls.as_user(BOB).assert_hidden(statement, [ANN]))
    assert "this proves nothing: as the owner it fails" in text
    assert "P0001 nobody" in text
    rls.as_user(BOB).assert_hidden(statement, [ANN], control=SELECT)
    rls.as_user(BOB).assert_hidden(statement, [ANN], control=("select from notes where body = %s", ["hello"]))
    assert "control:  select * from notes where owner = %s and false" in failing(
        lambda: rls.as_user(BOB).assert_hidden(statement, [ANN], control=SELECT + " and false")
    )


def test_a_constraint_that_the_owner_meets_shows_that_the_row_is_there(rls: Rls) -> None:
    rls.owner.execute("insert into comments select id from notes")
    rls.owner.execute("grant delete on notes to authenticated")
    rls.as_user(BOB).assert_hidden(DELETE, [ANN])


def test_a_row_the_owner_cannot_see_either_proves_nothing(rls: Rls) -> None:
    with Rls(rls.connection) as other, other.as_user(BOB), Rls(rls.connection) as as_bob:
        assert as_bob.owner.identity.role == "authenticated"
        assert "proves nothing" in failing(lambda: as_bob.as_user(BOB).assert_hidden(SELECT, [ANN]))


BY_HIDDEN = "update notes set body = 'mine'"


def test_untouched_by_a_statement_without_where(rls: Rls) -> None:
    rls.as_user(BOB).assert_untouched(SELECT, [ANN], by=BY_HIDDEN)


def test_untouched_also_where_it_is_refused_altogether(rls: Rls) -> None:
    rls.as_user(BOB).assert_untouched(SELECT, [ANN], by="delete from notes")


def test_touched(rls: Rls) -> None:
    """A policy that asks WITH CHECK only: WHERE would hide it, because it asks the policy for SELECT too."""
    rls.owner.execute('alter policy "users change their own notes" on notes using (true)')
    rls.as_user(BOB).assert_hidden(UPDATE, [ANN])
    before = left(rls)
    text = failing(lambda: rls.as_user(BOB).assert_untouched(SELECT, [ANN], by="update notes set owner = auth.uid()"))
    assert text.startswith("expected the target to stay untouched, but it was changed")
    assert "before:   (1, UUID('00000000-0000-0000-0000-000000000001'), None, 'hello')" in text
    assert "after:    no row" in text
    assert left(rls) == before


def test_untouched_proves_nothing_without_a_target(rls: Rls) -> None:
    text = failing(lambda: rls.as_user(BOB).assert_untouched(SELECT, [BOB], by=BY_HIDDEN))
    assert text.startswith("this proves nothing: as the owner, the target finds no row")


def test_untouched_proves_nothing_where_the_owner_would_not_touch_it_either(rls: Rls) -> None:
    text = failing(lambda: rls.as_user(BOB).assert_untouched(SELECT, [ANN], by="update notes set body = body"))
    assert text.startswith("this proves nothing: the same statement as the owner leaves the target as it is, too")


def test_untouched_fails_for_an_error_that_is_no_refusal(rls: Rls) -> None:
    text = failing(lambda: rls.as_user(BOB).assert_untouched(SELECT, [ANN], by="update nowhere set x = 1"))
    assert text.startswith("expected the target to stay untouched, but the statement failed with 42P01")


def test_count_is_held(rls: Rls) -> None:
    text = failing(lambda: rls.as_user(ANN).assert_allowed(SELECT, [ANN], count=2))
    assert text.startswith("expected 2 rows, but it reached 1")


def test_a_failure_says_who_what_and_why(rls: Rls) -> None:
    rls.owner.execute('drop policy "devices read their own notes" on notes')
    rls.owner.execute('drop policy "devices write their own notes" on notes')
    rls.owner.execute("create policy everyone on notes for select to anon using (true)")
    rls.owner.execute("create policy recent on notes as restrictive for all using (id > 0) with check (id < 9)")
    rls.owner.execute("insert into notes (owner) values (%s), (%s), (%s)", [BOB, BOB, BOB])
    text = failing(lambda: rls.as_guest("d1", headers={"A": "b"}).assert_hidden("select *\n  from notes"))
    rows = "\n".join(f"  got:      ({n}, UUID('{owner}'), None, {body!r})"
                     for n, owner, body in ((1, ANN, "hello"), (2, BOB, ""), (3, BOB, "")))  # fmt: skip
    assert (
        text
        == f"""\
expected hidden, but it came to rows
  happened: rows: the statement did its work, 4 rows
  as:       role anon
  claims:   {{'role': 'anon'}}
  headers:  {{'A': 'b', 'X-Device': 'd1'}}
  SQL:      select * from notes
{rows}
            … and 1 row more
  table:    public.notes: anon may select, insert; row level security is on; for anon:
  table:      everyone for select using (true)
  table:      recent as restrictive for all using ((id > 0)) with check ((id < 9))
  usually:  row level security is off on the table, or a policy's USING lets these rows through. Several policies for \
one command are joined by OR."""
    )


@pytest.mark.parametrize(
    ("expected", "statement", "owner", "usually"),
    [
        (
            "hidden",
            DELETE,
            ANN,
            "a privilege is missing, so no policy was asked. If this is what you mean, say assert_",
        ),
        ("hidden", INSERT, BOB, "only WITH CHECK refused it"),
        ("denied", SELECT, ANN, "a privilege is granted that should not be"),
        ("denied", SELECT, BOB, "the privilege is there, and only policies hold the rows back"),
        ("violates", SELECT, ANN, "WITH CHECK lets this row through"),
        ("violates", UPDATE, BOB, "the statement reached no row, so WITH CHECK was never asked"),
        ("violates", DELETE, ANN, "a privilege is missing"),
        ("allowed", SELECT, BOB, "no policy's USING lets the caller reach the row, or the row is not there"),
        ("allowed", DELETE, ANN, "a GRANT is missing"),
        ("allowed", INSERT, BOB, "no policy's WITH CHECK allows the new row"),
        ("denied", "select * from nowhere where %s = 1", 1, "there is no such table"),
        ("allowed", "insert into notes (owner, body) values (%s, repeat('x', 100))", ANN, "a constraint spoke before"),
    ],
)
def test_a_failure_says_what_it_usually_means(
    rls: Rls, expected: str, statement: str, owner: object, usually: str
) -> None:
    ann = rls.as_user(ANN)
    text = failing(lambda: getattr(ann, f"assert_{expected}")(statement, [owner]))
    assert f"usually:  {usually}" in text or usually in text
    assert "role authenticated" in text


def test_a_failure_shows_that_row_level_security_is_off(rls: Rls) -> None:
    rls.owner.execute("alter table notes disable row level security")
    text = failing(lambda: rls.as_user(BOB).assert_hidden(SELECT, [ANN]))
    assert "public.notes: authenticated may select, insert, update; row level security is OFF" in text
    assert "users read" not in text


def test_a_failure_shows_that_a_role_bypasses_it(rls: Rls) -> None:
    text = failing(lambda: rls.as_service().assert_hidden("select * from notes"))
    assert "row level security is on, and service_role bypasses it" in text


def test_a_failure_shows_that_the_owner_of_a_table_bypasses_it_unless_it_is_forced(rls: Rls) -> None:
    rls.owner.execute("grant create on schema public to authenticated; create table bare (id int);"
                      "alter table bare enable row level security; insert into bare values (1);"
                      "create policy all_of_it on bare using (true);"
                      "alter table bare owner to authenticated")  # fmt: skip
    text = failing(lambda: rls.as_user(ANN).assert_hidden("select * from bare"))
    assert "row level security is on, and authenticated bypasses it" in text
    rls.owner.execute("alter table bare force row level security")
    text = failing(lambda: rls.as_user(ANN).assert_hidden("select * from bare"))
    assert "all_of_it for all using (true)" in text


def test_a_failure_shows_that_no_policy_is_for_a_role(rls: Rls) -> None:
    rls.owner.execute("create table bare (id int); alter table bare enable row level security;"
                      "insert into bare values (1); grant select on bare to anon")  # fmt: skip
    text = failing(lambda: rls.as_anon().assert_allowed("select * from bare"))
    assert "no policy is for anon: it sees and writes nothing" in text
    assert "as owner: rows" in text


def test_a_failure_looks_through_views(rls: Rls) -> None:
    rls.owner.execute("create view all_notes as select * from notes; grant select on all_notes to anon")
    text = failing(lambda: rls.as_anon().assert_hidden("select * from all_notes"))
    assert re.search(r"table: +public\.notes: anon may select", text)


def test_a_long_value_is_cut(rls: Rls) -> None:
    text = failing(lambda: rls.as_user(BOB).assert_hidden("select %s", ["x" * 1000]))
    assert max(map(len, text.splitlines())) < 260


def test_a_statement_that_waits_too_long_says_nothing(rls: Rls) -> None:
    rls.connection.execute("set local statement_timeout = '50ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        rls.as_anon().assert_denied("select pg_sleep(1)")


def test_ids_may_be_anything_with_a_text(rls: Rls) -> None:
    rls.as_user(str(BOB)).assert_hidden(SELECT, [str(ANN)])
    rls.as_guest(uuid4()).assert_hidden("select * from notes")
