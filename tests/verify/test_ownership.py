"""User tables and user constraints: what they refuse is no fault of the managed objects, and hides
no such fault.
"""

from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity, Verification
from supabase_jobs.settings import toml_string
from supabase_jobs.verify import ownership
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.functions import check, scenarios
from supabase_jobs.verify.verify import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Database, Make

# a trigger fills the table; its foreign key prevents deletes of users
PROFILES = """
create table public.profiles (id uuid primary key references auth.users);
create function public.profile() returns trigger language plpgsql security definer
as $$ begin insert into public.profiles values (new.id); return new; end $$;
create trigger profile after insert on auth.users for each row execute function public.profile()
"""
# requests cannot write its rows
INVOICES = """
create table public.invoices (job uuid references public.async_jobs (id));
alter table public.invoices enable row level security;
create function public.invoice() returns trigger language plpgsql security definer
as $$ begin insert into public.invoices values (new.id); return new; end $$;
create trigger invoice after insert on public.async_jobs for each row execute function public.invoice()
"""
OPEN = "alter table public.invoices disable row level security"
# requests write its rows, which keep no job
NOTES = """
create table public.notes_of_users (author uuid not null references auth.users on delete cascade);
create function public.count_notes() returns trigger language plpgsql security definer
as $$ begin return new; end $$;
create trigger count_notes before insert on public.notes_of_users
for each row execute function public.count_notes()
"""
# user constraints on a managed table
FOR_PROFILES = """
create table public.profiles (id uuid primary key);
alter table public.async_jobs add constraint has_profile foreign key (user_id) references public.profiles
"""
# the first accepts other URLs that end with 810, and the second none
FOR_POSTS = "alter table public.async_jobs add constraint chk_post check (url !~ '/810$')"
FOR_NO_POSTS = "alter table public.async_jobs add constraint chk_post check (url !~ '810$')"
OFF = "alter table public.async_jobs disable row level security"
NO_CASCADE = """
alter table public.async_jobs drop constraint async_jobs_user_id_fkey,
  add constraint async_jobs_user_id_fkey foreign key (user_id) references auth.users
"""


def ids(result: Verification, severity: Severity, area: str) -> set[str]:
    return {f.id for f in result.findings if (f.severity, f.area) == (severity, area)}


@pytest.fixture
def signing_up(make_database: Make) -> Database:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(PROFILES)
    return database


def test_a_user_table_that_prevents_the_delete_of_a_user_is_unchecked_until_accepted(
    signing_up: Database, cli: Run, tmp_path: Path
) -> None:
    ran = cli("verify", "--json", "--db-url", signing_up.url)
    assert (ran.code, ran.json["ok"], ran.json["unchecked"]) == (1, False, ["functions"])
    warnings = [f for f in ran.json["findings"] if f["severity"] == "warning"]
    [finding] = [f for f in warnings if "not checked" in f["message"]]
    assert "access:auth.users:deletion" in [f["id"] for f in warnings]
    assert finding["object"] == "auth.users"
    assert "23503" in finding["message"]
    assert "table public.profiles is a user object" in finding["message"]
    assert 'constraint "profiles_id_fkey" of public.profiles' in finding["fix"]
    (tmp_path / "supabase-jobs.toml").write_text(
        f"[accepted_unchecked]\n{toml_string(finding['id'])} = 'users are never deleted'\n"
    )
    ran = cli("verify", "--json", "--db-url", signing_up.url)
    assert (ran.code, ran.json["unchecked"]) == (0, [])
    assert [one["id"] for one in ran.json["accepted_unchecked"]] == [finding["id"]]


def test_a_missing_cascade_of_a_managed_table_is_an_error_despite_a_user_table(
    signing_up: Database,
) -> None:
    """Both foreign keys block the delete, and the server names only one of them."""
    with psycopg.connect(signing_up.superuser_url, autocommit=True) as connection:
        connection.execute(NO_CASCADE)
        with psycopg.connect(signing_up.url, autocommit=True) as other:
            found = ids(verify(other, EXPECTATIONS), Severity.ERROR, "structure")
        assert "structure:public.async_jobs:constraint:async_jobs_user_id_fkey" in found
        connection.execute("alter table public.profiles drop constraint profiles_id_fkey")
    with psycopg.connect(signing_up.url, autocommit=True) as other:
        result = verify(other, EXPECTATIONS, ("functions",))
    assert any(
        id.startswith("functions:auth.users:") for id in ids(result, Severity.ERROR, "functions")
    )


def test_a_user_table_that_prevents_the_delete_of_jobs_is_an_error_of_documented_calls(
    rolled_back: Connection,
) -> None:
    """A trigger makes the rows, so that each cleanup fails."""
    rolled_back.execute(f"{INVOICES}; {NOTES}".encode())
    result = verify(rolled_back, EXPECTATIONS, ("access", "functions"))
    assert "access:public.notes_of_users:reach" in {case.id for case in result.cases}
    assert ids(result, Severity.ERROR, "access") == {"access:public.invoices:cleanup"}
    assert ids(result, Severity.ERROR, "functions")
    assert result.unchecked == ("access", "functions")
    [stops] = [f for f in result.findings if str(f.id) == "access:public.invoices:cleanup"]
    assert "ON DELETE" in stops.fix
    stopped = [f for f in result.findings if f is not stops and "it requires " not in f.message]
    assert all("table public.invoices is a user object" in f.message for f in stopped)
    deleting = ids(result, Severity.WARNING, "access")
    assert deleting
    assert all("delete" in id or "cleanup" in id for id in deleting)
    assert any("cleanup_old_jobs" in id for id in ids(result, Severity.WARNING, "functions"))


def test_a_user_table_with_rows_of_others_that_prevent_the_delete_of_jobs_is_an_error(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(f"{INVOICES}; {OPEN}".encode())
    result = verify(rolled_back, EXPECTATIONS, ("access", "functions"), tries_fixes=False)
    assert ids(result, Severity.ERROR, "access") == {"access:public.invoices:reach"}
    assert ids(result, Severity.ERROR, "functions")


def test_a_delete_that_policies_should_have_refused_is_an_error_despite_a_user_table(
    rolled_back: Connection,
) -> None:
    """Without row level security, another caller's delete reaches the row, and then the foreign key
    fails.
    """
    rolled_back.execute(INVOICES)
    rolled_back.execute(OFF)
    result = verify(rolled_back, EXPECTATIONS, ("access",))
    stopped = [
        f
        for f in result.findings
        if f.severity is Severity.ERROR and "should be hidden and is 23503" in f.message
    ]
    assert stopped


@pytest.mark.parametrize(
    ("sql", "name"), [(FOR_PROFILES, "has_profile"), (FOR_NO_POSTS, "chk_post")]
)
def test_a_user_constraint_on_a_managed_table_is_a_warning(
    rolled_back: Connection, sql: str, name: str
) -> None:
    rolled_back.execute(sql.encode())
    result = verify(rolled_back, EXPECTATIONS)
    assert ids(result, Severity.ERROR, "access") | ids(result, Severity.ERROR, "functions") == set()
    assert "access" in result.unchecked
    stopped = [f for f in result.findings if f.area == "access"]
    assert stopped
    assert all(
        f'constraint "{name}" of public.async_jobs is a user object' in f.message for f in stopped
    )
    assert all(f'constraint "{name}" of public.async_jobs too' in f.fix for f in stopped)


def test_a_constraint_that_refuses_one_write_leaves_only_its_cases_unchecked(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(FOR_NO_POSTS.encode())
    result = verify(rolled_back, EXPECTATIONS, ("access", "functions"))
    assert result.unchecked == ("access",)
    assert {f.severity for f in result.findings} == {Severity.WARNING}
    assert all(f.id.endswith((":insert own", ":insert forged")) for f in result.findings)
    assert all("23514" in f.message for f in result.findings)


def test_a_constraint_that_accepts_other_values_leaves_nothing_unchecked(
    rolled_back: Connection,
) -> None:
    expected = verify(rolled_back, EXPECTATIONS)
    rolled_back.execute(FOR_POSTS.encode())
    result = verify(rolled_back, EXPECTATIONS, tries_fixes=False)
    [finding] = result.findings
    assert finding.id == "structure:public.async_jobs:constraint:chk_post"
    assert finding.severity is Severity.INFO
    assert (result.ok, result.unchecked) == (True, ())
    also = {f"functions:{s.subject}:{s.name}" for s in scenarios.load().scenarios if s.with_objects}
    also.add("functions:constraint chk_post of public.async_jobs:values of clients")
    cases = [case.id for case in result.cases]
    assert also < {*cases}
    assert [id_ for id_ in cases if id_ not in also] == [case.id for case in expected.cases]


def test_a_user_constraint_hides_no_broken_policy(rolled_back: Connection) -> None:
    """WITH CHECK is evaluated before constraints, so a constraint error means that WITH CHECK was
    true.
    """
    rolled_back.execute(FOR_POSTS.encode())
    rolled_back.execute(OFF)
    found = verify(rolled_back, EXPECTATIONS, ("access",)).findings
    assert any(
        f.severity is Severity.ERROR and "should be violates and is 23514" in f.message
        for f in found
    )


def test_a_renamed_managed_constraint_is_missing_and_counts_as_a_user_object(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(
        "alter table public.async_jobs rename constraint chk_valid_status to chk_states"
    )
    result = verify(rolled_back, EXPECTATIONS, tries_fixes=False)
    found = ids(result, Severity.ERROR, "structure")
    assert found == {"structure:public.async_jobs:constraint:chk_valid_status"}


def test_a_not_null_column_of_a_user_table_is_a_conflict(rolled_back: Connection) -> None:
    rolled_back.execute("create table public.others (id int not null)")
    with pytest.raises(psycopg.errors.NotNullViolation) as caught, rolled_back.transaction():
        rolled_back.execute("insert into public.others values (null)")
    conflict = ownership.user_object_conflict(rolled_back, caught.value, {"public.async_jobs"})
    assert conflict is not None
    assert (
        conflict.fix
        == 'Production writes hit the NOT NULL constraint of column "id" of public.others too.'
    )


def test_without_a_list_of_managed_objects_a_conflict_is_an_error(rolled_back: Connection) -> None:
    rolled_back.execute(INVOICES)
    result = Context()
    check.run(rolled_back, scenarios.load(scenarios.DEFAULT_FILE), EXPECTATIONS.variables, result)
    assert Severity.ERROR in {f.severity for f in result.findings}


def test_a_refused_previous_identity_is_an_error_of_its_cells(rolled_back: Connection) -> None:
    """The area goes on after the request that the connection served before was refused."""
    rolled_back.execute("revoke select on public.async_jobs from service_role")
    result = verify(rolled_back, EXPECTATIONS, ("access",))
    assert result.unchecked == ()
    after = [f for f in result.findings if ":guest after the service:" in f.id]
    assert after
    assert all("is denied" in f.message for f in after)


def test_a_partition_of_a_managed_table_is_managed(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create table public.parted (id int check (id > 0)) partition by list (id);"
        "create table public.parted_rest partition of public.parted default"
    )
    with pytest.raises(psycopg.errors.CheckViolation) as caught, rolled_back.transaction():
        rolled_back.execute("insert into public.parted values (0)")
    assert caught.value.diag.table_name == "parted_rest"
    assert ownership.user_object_conflict(rolled_back, caught.value, {"public.parted"}) is None
    assert ownership.user_object_conflict(rolled_back, caught.value, {"public.others"}) is not None
