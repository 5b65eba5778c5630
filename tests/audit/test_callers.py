"""Callers that policies distinguish: anonymous sign-ins, members of two groups, service_role."""

from collections.abc import Callable, Iterator

import pytest

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.callers import ANONYMOUS_SIGN_IN
from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Severity
from tests.audit.conftest import decided, run_audit
from tests.audit.recorded import in_words

ANY_GROUP = """
create policy "projects: owners of a team" on public.projects for delete to authenticated using (
  private.team_role_of(team_id) is not null
  and exists (select from public.team_members as m where m.user_id = auth.uid() and m.role = 'owner')
)
"""

ROLES = """
create table public.role_permissions (role text, permission text, primary key (role, permission));
alter table public.role_permissions enable row level security;
create policy "roles" on public.role_permissions for select using (true);
insert into public.role_permissions values ('moderator', 'lists.read'), ('reader', 'nothing');
create policy "moderators" on public.lists for select to authenticated using (
  exists (
    select from public.role_permissions as p where p.role = auth.jwt() ->> 'user_role' and p.permission = 'lists.read'
  )
);
"""


HASHED = """
alter table public.api_keys drop constraint key_format, alter column key drop default,
  alter column key type {} using null;
create or replace function private.project_of_key() returns uuid language sql stable security definer
set search_path = public, extensions
as $$ select k.project_id from api_keys k where k.key = {} and k.revoked_at is null $$
"""


def database(name: str) -> Callable[..., Iterator[Connection]]:
    @pytest.fixture
    def connection(project_url: Callable[[str], str]) -> Iterator[Connection]:
        with connect(project_url(name)) as connection, connection.transaction(force_rollback=True):
            yield connection

    return connection


teams, todos, api_keys = database("teams"), database("todos"), database("api_keys")


@pytest.mark.parametrize(
    ("type_", "expression"),
    [
        ("text", "encode(digest(private.request_api_key(), 'sha256'), 'hex')"),
        ("bytea", "sha256(convert_to(private.request_api_key(), 'UTF8'))"),
        ("text", "md5(private.request_api_key())"),
        ("text", "encode(sha256(private.request_api_key()::bytea), 'base64')"),
    ],
)
def test_holder_of_a_key_that_is_stored_as_a_hash_is_a_caller(
    api_keys: Connection, type_: str, expression: str
) -> None:
    api_keys.execute(HASHED.format(type_, expression).encode())
    result = audit(
        api_keys, Options(functions=False, tables=["public.feature_flags"], repairs=False)
    )
    access = in_words(result)["public.feature_flags"]
    assert access["anon with the row's header"] == "read"
    assert access["anon with another header"] == "none"
    assert access["anon with an ended x-api-key"] == "none"


def test_role_of_one_group_that_counts_in_another_is_an_error(teams: Connection) -> None:
    teams.execute(ANY_GROUP.encode())
    [finding] = [
        f
        for f in run_audit(teams, repairs=False).findings
        if f.id == "two-groups:public.projects:delete"
    ]
    assert finding.severity is Severity.ERROR
    assert (
        finding.message == "A member of one group who is owner of another can delete rows as owner"
    )
    assert '"projects: owners of a team"' in finding.cause


def test_member_of_two_groups_reaches_what_each_role_allows(teams: Connection) -> None:
    access = in_words(run_audit(teams, repairs=False))["public.projects"]
    assert access["member of two groups in team_members"] == access["viewer of team_members"]


def test_anonymous_sign_in_is_a_caller_if_policies_mention_it(todos: Connection) -> None:
    assert "anonymous sign-in" not in in_words(run_audit(todos, repairs=False))["public.lists"]
    todos.execute(
        'create policy "no guests" on public.lists as restrictive for insert to authenticated'
        " with check ((auth.jwt() ->> 'is_anonymous')::boolean is not true)"
    )
    access = in_words(run_audit(todos, repairs=False))["public.lists"]
    assert "insert" in access["owner"]
    assert "insert" not in access["anonymous sign-in, own rows"]
    assert access["anonymous sign-in"] == "none"
    todos.execute(
        'create policy "guests" on public.lists for select using ((auth.jwt() ->>'
        " 'is_anonymous')::boolean)"
    )
    result = run_audit(todos, repairs=False)
    [finding] = [f for f in result.findings if f.severity is Severity.ERROR]
    assert (
        finding.message
        == "Anyone, after an anonymous sign-in, can read other users' rows, which others cannot"
    )


def test_constant_with_a_dollar_sign_is_a_value(todos: Connection) -> None:
    policy = "create policy \"d\" on public.lists for select to {} using ({} = 'a$b')"
    todos.execute(policy.format("authenticated", "auth.jwt() ->> 'plan'").encode())
    header = "current_setting('request.headers', true)::json ->> 'x-plan'"
    todos.execute(policy.format("anon", header).replace('"d"', '"h"').encode())
    access = in_words(run_audit(todos, repairs=False))["public.lists"]
    assert access["user with plan = a$b"] == "read"
    assert access["anon with the header x-plan = a$b"] == "read"


def test_roles_of_a_lookup_table_are_callers(todos: Connection) -> None:
    todos.execute(ROLES.encode())
    access = in_words(run_audit(todos, repairs=False))["public.lists"]
    assert (access["user with user_role = moderator"], access["user with user_role = reader"]) == (
        "read",
        "none",
    )


def test_service_role_is_in_the_matrix_and_not_in_the_baseline(todos: Connection) -> None:
    todos.execute("revoke delete on public.lists from service_role")
    result = run_audit(todos, repairs=False)
    of_service = {
        c.action: c.outcome
        for c in result.cells
        if (c.caller, c.object) == ("service_role", "public.lists")
    }
    assert of_service == {"select": "rows", "insert": "rows", "update": "rows", "delete": "denied"}
    assert "service_role" not in in_words(result)["public.lists"]


METADATA = """
create table public.settings (key text primary key, value text not null);
create table public.notices (id bigint generated always as identity primary key, body text not null);
create table public.flags (name text primary key, is_on boolean not null);
alter table public.settings enable row level security;
alter table public.notices enable row level security;
alter table public.flags enable row level security;
create policy "admins" on public.settings to authenticated using (auth.jwt() -> 'user_metadata' ->> 'role' = 'admin');
create policy "read" on public.notices for select using (true);
create policy "staff" on public.notices for insert to authenticated
  with check ((auth.jwt() -> 'user_metadata' ->> 'is_staff')::boolean);
create function public.is_operator() returns boolean language sql stable
as $$ select coalesce((auth.jwt() -> 'user_metadata' -> 'operator')::boolean, false) $$;
create policy "operators" on public.flags for update to authenticated using (public.is_operator());
create policy "app" on public.flags for delete to authenticated
  using (auth.jwt() -> 'app_metadata' ->> 'role' = 'admin');
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_user_metadata_opens_tables_without_an_owner(project: Connection) -> None:
    project.execute(METADATA.encode())
    found = {str(f.id): f for f in run_audit(project).findings if f.severity is Severity.ERROR}
    assert {id_: f.cause for id_, f in found.items()} == {
        "forged-claim:public.settings:select": 'policy "admins"',
        "forged-claim:public.settings:insert": 'policy "admins"',
        "forged-claim:public.settings:update": 'policy "admins"',
        "forged-claim:public.settings:delete": 'policy "admins"',
        "forged-claim:public.notices:insert": 'policy "staff"',
        "forged-claim:public.flags:update": 'policy "operators" with public.is_operator()',
    }
    assert "app_metadata" in found["forged-claim:public.settings:insert"].fix
    for fix in dict.fromkeys(f.fix for f in found.values()):
        assert "Once app_metadata has this claim" in fix
        project.execute(decided(fix).encode())
    assert not [
        f for f in run_audit(project, repairs=False).findings if f.severity is Severity.ERROR
    ]


SAID = """
create table public.crews (id bigint generated always as identity primary key, name text);
create table public.sailors (
  crew bigint not null references public.crews, sailor uuid not null references auth.users,
  role text not null check (role in ('captain', 'cook')), status text not null default 'aboard',
  left_on date, primary key (crew, sailor)
);
create table public.pilots (sailor uuid primary key references auth.users, licence text not null default 'none');
create table public.logs (id bigint generated always as identity primary key, crew bigint references public.crews);
alter table public.crews enable row level security;
alter table public.sailors enable row level security;
alter table public.pilots enable row level security;
alter table public.logs enable row level security;
create policy "own" on public.sailors for select to authenticated using (sailor = auth.uid());
create policy "aboard" on public.crews for select to authenticated using (id in (
  select crew from public.sailors where sailor = auth.uid() and role in ('captain', 'cook') and left_on is null));
create policy "pilots" on public.logs for select to authenticated using (exists (
  select from public.pilots where sailor = auth.uid() and licence = 'sea'));
create policy "own" on public.pilots for all to authenticated using (sailor = auth.uid());
create policy "guests" on public.logs for select to anon using (auth.jwt() ->> 'is_anonymous' is not null);
"""


def test_each_caller_is_said_in_words(todos: Connection) -> None:
    todos.execute(SAID.encode())
    meanings = run_audit(todos, repairs=False).meanings
    expected = {
        "anon": "without signing in",
        "owner": "the user whose rows they are",
        "cook of sailors": "a member whose role in sailors is cook",
        "former member of sailors": "a member by sailors whose membership has ended",
        "cook of sailors in another group": "a member of another group whose role in sailors is cook",
        "member of two groups in sailors": "a member by sailors who has a stronger role in another group",
        "user with pilots: licence = sea": "a user whose row in pilots has: licence = sea",
        ANONYMOUS_SIGN_IN: "signed in anonymously, with rows of their own",
    }
    assert {label: meanings.get(label) for label in expected} == expected
    assert [
        text for text in meanings.values() if not text or text.endswith(("is ", "is None"))
    ] == []
