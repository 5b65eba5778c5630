"""Access that policies permit and nobody has: each kind is planted, reported with its repair, and
gone after the repair.
"""

from collections.abc import Iterator

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Audit, AuditFinding
from supabase_jobs.report.producers.audit import by_cause
from tests.audit.conftest import decided, run_audit
from tests.audit.recorded import in_words
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

NOTES = """
create table public.notes (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null references auth.users default auth.uid(),
  body text
);
alter table public.notes enable row level security;
create policy "notes: read" on public.notes for select to authenticated using (owner_id = auth.uid());
create policy "notes: write" on public.notes for insert to authenticated with check (owner_id = auth.uid());
"""
TEAMS = """
create table public.teams (id uuid primary key default gen_random_uuid());
create table public.members (
  team_id uuid references public.teams, user_id uuid references auth.users, primary key (team_id, user_id)
);
create table public.tasks (
  id uuid primary key default gen_random_uuid(), team_id uuid not null references public.teams, title text
);
alter table public.teams enable row level security;
alter table public.members enable row level security;
alter table public.tasks enable row level security;
"""
HELPER = """
create schema private;
create function private.is_member(team uuid) returns boolean language sql stable security definer
set search_path = '' as $$
  select exists (select from public.members where team_id = team and user_id = auth.uid())
$$;
create policy "members: read" on public.members for select to authenticated using (private.is_member(team_id));
create policy "tasks: read" on public.tasks for select to authenticated using (private.is_member(team_id));
"""
KINDS = {
    "a policy without a privilege": (
        NOTES,
        "revoke all on public.notes from anon, authenticated;",
        ["warning broken-access:public.notes:privilege"],
        {("public.notes", "owner", "read"), ("public.notes", "owner", "insert")},
    ),
    "a table that was never exposed": (
        NOTES,
        "revoke all on public.notes from anon, authenticated, service_role;",
        ["warning broken-access:public.notes:privilege"],
        {("public.notes", "owner", "read")},
    ),
    "a function that a policy calls": (
        TEAMS + HELPER,
        "revoke execute on function private.is_member from public, authenticated;",
        ["error broken-access:public.members:needed", "error broken-access:public.tasks:needed"],
        {("public.tasks", "owner", "read"), ("public.members", "owner", "read")},
    ),
    "a schema that a function of a policy needs": (
        TEAMS
        + HELPER
        + """
create schema app;
create function app.mine(team uuid) returns boolean language sql stable security definer
set search_path = '' as $$ select private.is_member(team) $$;
create function public.may_see(team uuid) returns boolean language sql stable
set search_path = '' as $$ select app.mine(team) $$;
alter policy "tasks: read" on public.tasks using (public.may_see(team_id));
""",
        "",
        ["error broken-access:public.tasks:needed"],
        {("public.tasks", "owner", "read")},
    ),
    "a table that a policy reads": (
        TEAMS
        + """
create policy "members: read" on public.members for select to authenticated using (user_id = auth.uid());
create policy "tasks: read" on public.tasks for select to authenticated
using (exists (select from public.members m where m.team_id = tasks.team_id and m.user_id = auth.uid()));
""",
        "revoke select on public.members from authenticated, anon;",
        [
            "error broken-access:public.tasks:needed",
            "warning broken-access:public.members:privilege",
        ],
        {("public.tasks", "owner", "read"), ("public.members", "owner", "read")},
    ),
    "a policy that queries its own table": (
        TEAMS
        + """
create policy "members: read" on public.members for select to authenticated
using (exists (select from public.members m where m.team_id = members.team_id and m.user_id = auth.uid()));
""",
        "",
        ["error broken-access:public.members:recursion"],
        {("public.members", "owner", "read")},
    ),
    "policies that query each other's table": (
        TEAMS
        + """
create policy "members: read" on public.members for select to authenticated
using (user_id = auth.uid() or exists (select from public.tasks t where t.team_id = members.team_id));
create policy "tasks: read" on public.tasks for select to authenticated
using (exists (select from public.members m where m.team_id = tasks.team_id and m.user_id = auth.uid()));
""",
        "",
        [
            "error broken-access:public.members:recursion",
            "error broken-access:public.tasks:recursion",
        ],
        {("public.members", "owner", "read"), ("public.tasks", "owner", "read")},
    ),
    "a function that reads the table of its policy as its caller": (
        TEAMS
        + """
create function public.in_team(team uuid) returns boolean language plpgsql stable as $$ begin
  return exists (select from public.members m where m.team_id = team and m.user_id = auth.uid());
end $$;
create policy "members: read" on public.members for select to authenticated using (public.in_team(team_id));
""",
        "",
        ["error broken-access:public.members:recursion"],
        {("public.members", "owner", "read")},
    ),
    "a policy for rows that its role cannot read": (
        NOTES
        + """
create policy "notes: change" on public.notes for update to authenticated using (owner_id = auth.uid());
""",
        """drop policy "notes: read" on public.notes;""",
        ["warning broken-access:public.notes:unreadable"],
        {("public.notes", "owner", "read")},
    ),
    "a policy for a role of the app, as if it were one of the database": (
        NOTES
        + """
create policy "notes: admins" on public.notes for select to authenticated using (auth.role() = 'admin');
""",
        "",
        ["warning broken-access:public.notes:never"],
        set(),
    ),
    "a policy that compares with null": (
        NOTES
        + """
create policy "notes: ownerless" on public.notes for select to authenticated using (owner_id = null);
""",
        "",
        ["warning broken-access:public.notes:never"],
        set(),
    ),
}


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "broken", "services", DEFAULT_MAJOR).url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as opened, opened.transaction(force_rollback=True):
        yield opened


def broken(result: Audit) -> list[AuditFinding]:
    return [f for f in result.findings if f.id.startswith("broken-access:")]


def statements(fix: str) -> str:
    """The SQL of a fix, also if the project has to decide; '' if it only says what to do."""
    return "\n".join(line for line in decided(fix).splitlines() if not line.startswith("--"))


def has(result: Audit, name: str, caller: str, action: str) -> bool:
    """Whether a caller who is called so, or belongs to the group, may do something."""
    callers = in_words(result).get(name, {})
    return any(action in callers[one] for one in callers if caller in one or "member" in one)


@pytest.mark.parametrize("name", KINDS)
def test_kind_is_reported_and_repaired(connection: Connection, name: str) -> None:
    sound, fault, finds, opens = KINDS[name]
    connection.execute(sound.encode())
    if fault:
        assert broken(run_audit(connection, repairs=False)) == []
        connection.execute(fault.encode())
    before = run_audit(connection)
    assert [f"{f.severity} {f.id}" for f in broken(before)] == finds
    assert [cell for cell in opens if has(before, *cell)] == []
    assert [f.fix for f in broken(before) if f.proven != bool(opens)] == []
    for fix in dict.fromkeys(statements(finding.fix) for finding in broken(before)):
        connection.execute(fix.encode())
    after = run_audit(connection, repairs=False)
    if statements(broken(before)[0].fix):
        assert broken(after) == []
    assert [cell for cell in opens if not has(after, *cell)] == []
    known = {f.id for f in before.findings}
    assert [f.id for f in after.findings if f.severity.is_problem and f.id not in known] == []


def test_tables_that_one_recursion_closes_have_one_cause(connection: Connection) -> None:
    """The repair is printed once, at the table whose policies query it: it creates functions."""
    below = """
create policy "tasks: read" on public.tasks for select to authenticated using (
  team_id in (select team_id from public.members where user_id = auth.uid()));
create policy "teams: read" on public.teams for select to authenticated using (
  id in (select team_id from public.tasks));
create policy "members: read" on public.members for select to authenticated using (
  team_id in (select m.team_id from public.members as m where m.user_id = auth.uid()));
"""
    connection.execute(f"{TEAMS}{below}".encode())
    found = broken(run_audit(connection))
    assert {f.object for f in found} == {"public.members", "public.tasks", "public.teams"}
    assert {(f.origin, f.cause) for f in found} == {("public.members", 'policy "members: read"')}
    [group] = by_cause(found)
    [fix] = {f.fix for f in group}
    assert all(f.proven for f in group)
    connection.execute(statements(fix).encode())
    assert broken(run_audit(connection, repairs=False)) == []


def test_question_about_a_table_without_grant_and_policy(connection: Connection) -> None:
    connection.execute(b"create table public.counters (n integer)")
    connection.execute(b"alter table public.counters enable row level security")
    assert broken(run_audit(connection, repairs=False)) == []
    connection.execute(b"revoke all on public.counters from anon, authenticated, service_role")
    [found] = broken(run_audit(connection))
    assert (str(found.severity), found.fix) == ("question", "")
    assert "grant select, insert, update, delete on" in found.message


@pytest.mark.parametrize(
    "intended",
    [
        "revoke execute on function private.is_member from public, anon;",
        'create policy "tasks: nobody" on public.tasks for delete to authenticated using (false);',
        "create policy \"tasks: backend\" on public.tasks for all using (auth.role() = 'service_role');",
        "revoke insert, update, delete on public.tasks from anon, authenticated;",
        "revoke all on public.tasks from anon;",
    ],
)
def test_refusals_that_are_intended(connection: Connection, intended: str) -> None:
    connection.execute(f"{TEAMS}{HELPER}".encode())
    connection.execute(b"grant execute on function private.is_member to authenticated")
    connection.execute(intended.encode())
    assert broken(run_audit(connection, repairs=False)) == []


def test_policy_for_every_role_says_nothing_about_guests(connection: Connection) -> None:
    connection.execute(NOTES.encode())
    connection.execute(b"""create policy "notes: delete" on public.notes for delete using (true)""")
    assert broken(run_audit(connection, repairs=False)) == []
