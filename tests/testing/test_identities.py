"""Impersonation: the role and settings of each caller, and that both are restored."""

from uuid import UUID, uuid4

import psycopg
import pytest

from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.testing import Caller, Rls

WHO = """
select current_user::text, current_setting('request.jwt.claims', true), current_setting('request.headers', true),
       current_setting('app.tenant', true), auth.uid()
"""
ANN, BOB = UUID(int=1), UUID(int=2)


def who(caller: Caller) -> dict[str, object]:
    role, claims, headers, tenant, uid = caller.rows(WHO)[0]
    return {"role": role, "claims": claims, "headers": headers, "tenant": tenant, "uid": uid}


def current(rls: Rls) -> tuple[object, ...]:
    """The role and settings of the connection itself."""
    row = rls.connection.execute(WHO).fetchone()
    assert row is not None
    return tuple(value or "" for value in row)


def test_a_guest_sends_its_header_in_lower_case(rls: Rls) -> None:
    request = who(rls.as_guest(ANN))
    assert (request["role"], request["headers"], request["uid"]) == (
        "anon",
        f'{{"x-device": "{ANN}"}}',
        None,
    )


def test_a_guest_may_send_other_headers(rls: Rls) -> None:
    assert '"user-agent": "test"' in str(
        who(rls.as_guest(ANN, headers={"User-Agent": "test"}))["headers"]
    )


def test_an_anonymous_caller_has_no_headers(rls: Rls) -> None:
    assert who(rls.as_anon()) == {
        "role": "anon",
        "claims": '{"role": "anon"}',
        "headers": "{}",
        "tenant": who(rls.owner)["tenant"],
        "uid": None,
    }


def test_a_user_has_claims_and_an_id(rls: Rls) -> None:
    request = who(rls.as_user(ANN, claims={"app_metadata": {"teams": [1, 2]}}))
    assert (request["role"], request["uid"]) == ("authenticated", ANN)
    assert '"app_metadata": {"teams": [1, 2]}' in str(request["claims"])


def test_claims_of_a_user_can_be_replaced(rls: Rls) -> None:
    assert who(rls.as_user(ANN, claims={"sub": str(BOB)}))["uid"] == BOB


def test_the_service_has_the_role_service_role(rls: Rls) -> None:
    assert who(rls.as_service())["role"] == "service_role"


def test_a_role_can_have_settings(rls: Rls) -> None:
    request = who(rls.as_role("authenticated", settings={"app.tenant": "acme"}))
    assert (request["tenant"], request["claims"]) == ("acme", '{"role": "authenticated"}')


def test_the_owner_sends_no_request(rls: Rls) -> None:
    request = who(rls.owner)
    assert (request["role"], request["claims"], request["headers"]) == ("postgres", "", "")


def test_role_and_settings_are_restored(rls: Rls) -> None:
    before = current(rls)
    with rls.as_role(
        "anon", claims={"sub": str(ANN)}, headers={"x": "y"}, settings={"app.tenant": "acme"}
    ):
        assert current(rls) != before
    assert current(rls) == before


def test_an_identity_has_no_settings_of_the_previous_one(rls: Rls) -> None:
    with rls.as_role("anon", headers={"x": "y"}, settings={"app.tenant": "acme"}):
        pass
    with rls.as_user(ANN):
        assert current(rls)[2:] == ("{}", "", ANN)


def test_nested_identities_restore_the_outer_one(rls: Rls) -> None:
    with rls.as_guest(ANN) as outer:
        before = current(rls)
        with rls.as_user(BOB) as inner:
            assert current(rls)[0] == "authenticated"
            assert (
                who(outer)["role"] == "anon"
            )  # a caller keeps its identity inside the block of another
            assert who(inner)["uid"] == BOB
        assert current(rls) == before
        assert who(rls.owner)["role"] == "postgres"
        assert current(rls) == before


def test_a_caller_can_be_entered_again_inside_itself(rls: Rls) -> None:
    ann = rls.as_user(ANN)
    with ann, rls.as_anon(), ann:
        assert current(rls)[4] == ANN
    assert current(rls)[0] == "postgres"


def test_a_database_error_restores_the_identity_and_rolls_back_the_block(rls: Rls) -> None:
    before = current(rls)

    def request() -> None:
        with rls.as_user(ANN) as ann:
            ann.execute("insert into notes (owner) values (%s)", [ANN])
            rls.connection.execute(
                "insert into notes (owner, body) values (%s, repeat('x', 100))", [ANN]
            )

    with pytest.raises(psycopg.errors.CheckViolation):
        request()
    assert current(rls) == before
    assert rls.owner.value("select count(*) from notes") == 0


def test_a_caught_database_error_restores_the_identity(rls: Rls) -> None:
    before = current(rls)
    with rls.as_user(ANN):
        with pytest.raises(psycopg.errors.UndefinedTable):
            rls.connection.execute("select * from nowhere")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            rls.connection.execute("select 1")
    assert current(rls) == before


def test_a_python_exception_restores_the_identity_and_rolls_back_the_block(rls: Rls) -> None:
    before = current(rls)

    def request() -> None:
        with rls.as_user(ANN) as ann:
            ann.execute("insert into notes (owner) values (%s)", [ANN])
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        request()
    assert current(rls) == before
    assert rls.owner.value("select count(*) from notes") == 0


def test_a_failed_statement_does_not_abort_the_transaction(rls: Rls) -> None:
    with rls.as_user(ANN) as ann:
        ann.execute("insert into notes (owner) values (%s)", [ANN])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ann.execute("delete from notes")
        assert ann.value("select count(*) from notes") == 1


def test_code_under_test_can_use_transactions_on_the_connection(rls: Rls) -> None:
    def add_note(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        with connection.transaction():
            connection.execute("insert into notes (owner) values (auth.uid())")

    with rls.as_user(ANN) as ann:
        add_note(ann.connection)
    assert rls.owner.rows("select owner from notes") == [(ANN,)]


def test_the_next_caller_sees_the_changes(rls: Rls) -> None:
    rls.as_user(ANN).execute("insert into notes (owner, body) values (%s, 'hello')", [ANN])
    assert rls.as_user(ANN).rows("select body from notes") == [("hello",)]
    assert rls.as_user(BOB).rows("select body from notes") == []
    assert rls.as_user(BOB).value("select body from notes") is None


def test_a_new_user_is_in_auth_users(rls: Rls) -> None:
    user = rls.new_user(email="ann@example.com", is_anonymous=True)
    row = rls.owner.rows("select email, is_anonymous from auth.users where id = %s", [user])
    assert row == [("ann@example.com", True)]


def test_a_new_user_has_an_address_and_metadata(rls: Rls) -> None:
    user = rls.new_user(metadata={"team": "blue"})
    [(email, provider, metadata)] = rls.owner.rows(
        "select email, raw_app_meta_data ->> 'provider', raw_user_meta_data from auth.users where"
        " id = %s",
        [user],
    )
    assert (email.partition("@")[2], provider, metadata["team"]) == ("example.com", "email", "blue")
    assert metadata.keys() >= {"name", "full_name", "user_name", "avatar_url"}


INVITED = """
create table public.invitations (email text primary key);
create table public.profiles (id uuid references auth.users, handle text not null, inviter text not null);
create function public.join() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select from public.invitations as i where i.email = new.email) then raise 'not invited'; end if;
  insert into public.profiles values (new.id, new.raw_user_meta_data ->> 'handle', %s);
  return new;
end $$;
create trigger join_project after insert on auth.users for each row execute function public.join()
"""


def test_a_new_user_is_adapted_to_the_triggers_of_the_project(rls: Rls) -> None:
    rls.owner.execute(INVITED % "new.email")
    with rls.as_user(ANN):
        user = rls.new_user(metadata={"handle": "ann"})
    assert rls.owner.rows("select id, handle from public.profiles") == [(user, "ann")]
    assert rls.owner.value("select count(*) from public.invitations") == 1


def test_a_rejected_user_is_an_error_with_the_reason(rls: Rls) -> None:
    rls.owner.execute(INVITED % "null")
    with pytest.raises(SupabaseJobsError, match=r'column "inviter" of public\.profiles') as caught:
        rls.new_user()
    assert "default" in (caught.value.hint or "")
    assert rls.owner.value("select count(*) from public.invitations") == 0


def test_an_unknown_role_is_an_error(rls: Rls) -> None:
    with pytest.raises(SupabaseJobsError, match="cannot act as the role nobody_here"):
        rls.as_role("nobody_here").rows("select 1")
    assert current(rls)[0] == "postgres"


def test_a_role_without_membership_is_an_error(rls: Rls) -> None:
    with pytest.raises(SupabaseJobsError, match="cannot act as the role supabase_admin") as caught:
        rls.as_role("supabase_admin").rows("select 1")
    assert "member" in (caught.value.hint or "")


def test_as_guest_requires_the_guest_header(rls: Rls) -> None:
    with (
        Rls(rls.connection) as other,
        pytest.raises(ConfigError, match="the name of the guest header is not configured"),
    ):
        other.as_guest(uuid4())


def test_the_row_factory_of_the_connection_is_used(rls: Rls) -> None:
    with Rls(rls.connection) as other:
        other.connection.row_factory = psycopg.rows.dict_row
        try:
            user = other.new_user()
            note = other.owner.value("insert into notes (owner) values (%s) returning id", [user])
            assert other.as_user(user).rows("select id from notes") == [{"id": note}]
            other.as_anon().assert_hidden("select id from notes")
        finally:
            other.connection.row_factory = psycopg.rows.tuple_row


def test_an_autocommit_connection_is_rolled_back(notes_url: str, count_notes: object) -> None:
    with psycopg.connect(notes_url, autocommit=True) as connection, Rls(connection) as rls:
        rls.owner.execute("insert into notes (owner) values (%s)", [ANN])


def test_a_commit_inside_the_test_is_an_error(notes_url: str) -> None:
    with psycopg.connect(notes_url, autocommit=True) as connection:
        with (
            pytest.raises(SupabaseJobsError, match="ended inside the test"),
            Rls(connection) as rls,
        ):
            rls.connection.execute("commit")
        with (
            pytest.raises(SupabaseJobsError, match="ended inside the test"),
            Rls(connection) as rls,
            rls.as_anon(),
        ):
            rls.connection.execute("commit")


def test_the_default_lock_timeout_is_ten_seconds(rls: Rls) -> None:
    assert rls.owner.value("show lock_timeout") == "10s"


def test_the_lock_timeout_of_the_connection_is_kept(rls: Rls) -> None:
    rls.connection.execute("set local lock_timeout = '1s'")
    with Rls(rls.connection) as other:
        assert other.owner.value("show lock_timeout") == "1s"


def test_repr_shows_database_and_identity(rls: Rls) -> None:
    assert " as postgres>" in repr(rls)
    assert repr(rls.as_guest("g", headers={"A": "b"})) == (
        '<Caller anon, claims {"role": "anon"}, headers {"A": "b", "X-Device": "g"}>'
    )
