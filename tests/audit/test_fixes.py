"""Fixes of findings: applied together, in any order, they end the leaks, and owners and members
keep their access.
"""

import pytest

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.baseline import wider
from supabase_jobs.audit.options import Comparison, Options
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Audit, AuditFinding, has_statement
from tests.audit.conftest import run_audit
from tests.audit.recorded import in_words

GROUPS = """
create table public.clubs (
  id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users, name text not null
);
create table public.club_members (
  club_id uuid not null references public.clubs, user_id uuid not null references auth.users, left_at timestamptz,
  primary key (club_id, user_id)
);
create table public.posts (id bigint primary key, club_id uuid not null references public.clubs, body text not null);
create table public.replies (id bigint primary key, post_id bigint not null references public.posts, body text);
create table public.files (id bigint primary key, club_id uuid not null references public.clubs, name text not null);
create table public.pages (id bigint primary key, club_id uuid not null references public.clubs, name text not null);
create function public.in_club(club uuid) returns boolean language sql stable security definer set search_path = ''
as $$ select exists (select from public.club_members where club_id = club and user_id = auth.uid()) /* é */ $$;
create function public.reads_club(club uuid) returns boolean language plpgsql stable security definer
set search_path = public
as $$ begin return exists (select from club_members m where m.club_id = club and m.user_id = auth.uid()); end $$;
create table public.letters (id bigint primary key, club_id uuid not null references public.clubs, body text not null);
create function public.letters_of(club uuid) returns setof text language sql stable security definer
set search_path = '' as $$ select l.body from public.letters as l where l.club_id = club and public.in_club(club) $$;
create view public.own_letters with (security_invoker = true) as
select l.id, b.body from public.club_members as m cross join public.letters_of(m.club_id) as b (body)
left join public.letters as l on l.club_id = m.club_id;
alter table public.letters enable row level security;
create policy "letters" on public.letters for select to authenticated using (
  exists (select from public.club_members as m where m.club_id = letters.club_id and m.user_id = auth.uid()
    and m.left_at is null)
);
alter table public.clubs enable row level security;
alter table public.club_members enable row level security;
alter table public.posts enable row level security;
alter table public.replies enable row level security;
alter table public.files enable row level security;
alter table public.pages enable row level security;
create policy "clubs" on public.clubs to authenticated using (owner_id = auth.uid()) with check (owner_id = auth.uid());
create policy "own" on public.club_members for select to authenticated using (user_id = auth.uid());
create policy "posts" on public.posts for select to authenticated using (
  exists (select from public.club_members as m where m.club_id = posts.club_id and m.user_id = auth.uid())
);
create policy "replies" on public.replies for select to authenticated using (
  exists (select from public.posts as p where p.id = post_id)
);
create policy "files" on public.files to authenticated
using (public.in_club(club_id)) with check (public.in_club(club_id));
create policy "pages" on public.pages for select to authenticated using (public.reads_club(club_id));
"""
CLUBS = ("posts", "replies", "files", "pages")
FORMER = "former member of club_members"

# an invitation opens nothing until it is accepted
INVITED = """
create table public.teams (
  id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users, name text not null
);
create table public.team_members (
  team_id uuid references public.teams, user_id uuid references auth.users, accepted_at timestamptz,
  primary key (team_id, user_id)
);
create table public.pages (id bigint primary key, team_id uuid not null references public.teams, body text);
create function public.is_invited(team uuid) returns boolean language sql stable security definer set search_path = ''
as $$ select exists (
  select from public.team_members as m where m.team_id = team and m.user_id = auth.uid() and m.accepted_at is null
) $$;
create function public.in_team(team uuid) returns boolean language sql stable security definer set search_path = ''
as $$ select exists (
  select from public.team_members as m where m.team_id = team and m.user_id = auth.uid() and m.accepted_at is not null
) $$;
alter table public.teams enable row level security;
alter table public.team_members enable row level security;
alter table public.pages enable row level security;
create policy "own" on public.teams to authenticated using (owner_id = auth.uid());
create policy "invited" on public.teams for select to authenticated using (public.is_invited(id));
create policy "own" on public.team_members for select to authenticated using (user_id = auth.uid());
create policy "pages" on public.pages for select to authenticated using (public.in_team(team_id));
"""
EVERY_ROW = """
create or replace function public.in_team(team uuid) returns boolean language sql stable security definer
set search_path = ''
as $$ select exists (select from public.team_members as m where m.team_id = team and m.user_id = auth.uid()) $$;
"""

# the policy of the group reads the memberships, so that a policy of the memberships cannot read the
# group
JOINED = """
create table public.rooms (id uuid primary key default gen_random_uuid(), title text not null);
create table public.room_members (
  room_id uuid references public.rooms, user_id uuid references auth.users, primary key (room_id, user_id)
);
alter table public.rooms enable row level security;
alter table public.room_members enable row level security;
create policy "rooms" on public.rooms for select to authenticated using (
  exists (select from public.room_members as m where m.room_id = rooms.id and m.user_id = auth.uid())
);
create policy "own" on public.room_members to authenticated using (user_id = auth.uid());
"""

SEVERAL = """
create policy "shared" on public.lists to authenticated using (true);
alter policy "todos: of own lists" on public.todos using (true) with check (true);
create policy "tags: shared" on public.tags for delete using (true);
create policy "tags: added" on public.tags for insert to authenticated with check (true);
"""


def faults(result: Audit) -> list[AuditFinding]:
    return [f for f in result.findings if f.severity.is_problem]


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_fixes_for_former_members_leave_members_their_access(project: Connection) -> None:
    project.execute(GROUPS.encode())
    result = run_audit(project)
    before = {name: in_words(result)[f"public.{name}"] for name in CLUBS}
    assert {name: access[FORMER] for name, access in before.items()} == {
        "posts": "read",
        "replies": "read",
        "files": "read insert update delete",
        "pages": "read",
    }
    found = {str(f.id): f for f in faults(result)}
    assert set(found) == {
        "former:public.posts:select",
        "former:public.replies:select",
        "former:public.files:select",
        "former:public.pages:select",
        "forged:public.files:insert",
        "write:public.files:update",
        "write:public.files:delete",
        "function-reads:public.letters_of(uuid)",
        "view:public.own_letters:select",
    }
    assert len(found) > len({finding.fix for finding in found.values()})
    for finding in reversed(found.values()):
        project.execute(finding.fix.encode())
    after = in_words(run_audit(project, repairs=False))
    for name in CLUBS:  # a helper of "pages" is in PL/pgSQL
        assert after[f"public.{name}"] == {**before[name], FORMER: "none"}
    assert found["function-reads:public.letters_of(uuid)"].fix == (
        "-- Tried: it closes 3 cells and takes none.\n"
        "alter function public.letters_of(uuid) security invoker;"
    )
    lines = found["view:public.own_letters:select"].fix.splitlines()
    assert all(
        line.startswith("--") and "left_at" in line and "public.own_letters" in line
        for line in lines
    ), lines


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_membership_that_was_not_accepted_is_none(project: Connection) -> None:
    project.execute(INVITED.encode())
    access = in_words(run_audit(project, repairs=False))["public.pages"]
    assert (access["member of team_members"], access["invited person of team_members"]) == (
        "read",
        "none",
    )
    project.execute(EVERY_ROW.encode())
    [finding] = [f for f in run_audit(project).findings if f.id == "former:public.pages:select"]
    project.execute(finding.fix.encode())
    assert in_words(run_audit(project, repairs=False))["public.pages"] == access


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_fix_of_a_policy_by_which_users_join_groups(project: Connection) -> None:
    project.execute(JOINED.encode())
    before = run_audit(project)
    found = [f for f in faults(before) if f.id.startswith("escalation:public.room_members:")]
    assert {f.id.split(":")[2] for f in found} == {"insert", "update"}
    # users join by themselves only
    [joined] = [f for f in found if not f.proven]
    assert "member of room_members: insert of own rows of" in joined.fix
    for finding in found:
        project.execute(finding.fix.encode())
    project.execute(joined.fix.rpartition("\n-- ")[2].encode())
    after = run_audit(project, repairs=False)
    assert [f.id for f in faults(after) if f.object.startswith("public.room")] == []
    assert (
        in_words(after)["public.rooms"]["owner"],
        in_words(after)["public.room_members"]["owner"],
    ) == (
        "read",
        "read delete",
    )


LOBBIES = """
create table public.lobbies (
  id uuid primary key default gen_random_uuid(), host_id uuid not null references auth.users, listed boolean not null default true
);
create table public.seats (
  lobby_id uuid references public.lobbies, user_id uuid references auth.users, primary key (lobby_id, user_id)
);
create table public.boards (id bigint primary key, lobby_id uuid not null references public.lobbies, body text);
alter table public.lobbies enable row level security;
alter table public.seats enable row level security;
alter table public.boards enable row level security;
create policy "lobbies" on public.lobbies for select to authenticated using (listed);
create policy "own" on public.seats for select to authenticated using (user_id = auth.uid());
create policy "sit down" on public.seats for insert to authenticated with check (
  user_id = auth.uid() and exists (select from public.lobbies as l where l.id = lobby_id and l.listed)
);
create policy "boards" on public.boards for select to authenticated using (
  exists (select from public.seats as s where s.lobby_id = boards.lobby_id and s.user_id = auth.uid())
);
"""


RANKED = """
create type public.rank as enum ('guest', 'player');
alter table public.seats add rank public.rank not null default 'guest';
alter policy "sit down" on public.seats with check (user_id = auth.uid() and rank = 'guest');
alter policy "boards" on public.boards using (exists (
  select from public.seats as s where s.lobby_id = boards.lobby_id and s.user_id = auth.uid() and s.rank is not null
));
"""


# a seat of a lobby that nobody sees, until its host has agreed
ASKED = """
alter table public.seats add agreed boolean not null default false;
alter policy "lobbies" on public.lobbies using (host_id = auth.uid());
alter policy "sit down" on public.seats with check (user_id = auth.uid() and not agreed);
"""


@pytest.mark.parametrize(
    ("more", "leak"),
    [
        ("", "escalation:public.seats:insert"),
        (RANKED, "escalation:public.seats:insert:rank"),
        (ASKED, "escalation:public.seats:insert"),
    ],
    ids=["join", "with a rank", "ask"],
)
@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_who_may_be_meant_to_join_what_they_see_is_not_kept_from_it(
    project: Connection, more: str, leak: str
) -> None:
    project.execute((LOBBIES + more).encode())
    [found] = [f for f in faults(run_audit(project)) if f.id.startswith("escalation:public.seats:")]
    assert found.id in (leak, "escalation:public.seats:insert")
    assert "would take" in found.fix
    assert not has_statement(found.fix)


@pytest.mark.parametrize("is_intended", [False, True])
@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_only_new_leaks_have_repairs_beside_known_ones(
    project: Connection, is_intended: bool
) -> None:
    project.execute('create policy "shared" on public.tags for delete using (true)')
    project.execute("create view public.all_tags as select * from public.tags")
    known = {f.id for f in faults(run_audit(project, repairs=False))}
    project.execute('create policy "shared" on public.lists to authenticated using (true)')
    options = Options(comparison=Comparison(known=known))
    if is_intended:
        options = Options(intended=known)
    found = faults(audit(project, options))
    assert {str(f.id): f.proven for f in found} == {str(f.id): f.id not in known for f in found}
    assert known < {f.id for f in found}


NEW = """
create table public.{0} (
  id bigint generated always as identity primary key,
  user_id uuid not null default auth.uid() references auth.users
);
alter table public.{0} enable row level security;
create policy "{0}" on public.{0} to authenticated using ({1});
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_a_new_table_that_no_outsider_reaches_has_causes_but_no_repair(
    project: Connection,
) -> None:
    before = run_audit(project, repairs=False)
    project.execute(NEW.format("drafts", "user_id = auth.uid()").encode())
    project.execute(NEW.format("posters", "true").encode())
    explained = run_audit(project, before.access).explained
    drafts, posters = (
        [one for key, one in explained.items() if key.object.label == f"public.{name}"]
        for name in ("drafts", "posters")
    )
    assert {(one.cause, one.fix) for one in drafts} == {('policy "drafts"', "")}
    assert any(one.proven for one in posters)


@pytest.mark.parametrize("in_order", [sorted, lambda fixes: sorted(fixes, reverse=True)])
@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_fixes_of_several_leaks_of_a_policy_are_applied_in_any_order(
    project: Connection, in_order: object
) -> None:
    intended = run_audit(project, repairs=False)
    known = {f.id for f in faults(intended)}
    project.execute(SEVERAL.encode())
    found = [f for f in faults(run_audit(project)) if f.id not in known]
    assert {f.object for f in found} == {"public.lists", "public.todos", "public.tags"}
    assert all(f.proven for f in found)
    for fix in in_order([f.fix for f in found]):  # type: ignore[operator]
        project.execute(fix.encode())
    again = run_audit(project, repairs=False)
    assert [f.id for f in faults(again) if f.id not in known] == []
    lost = [cell for cell in wider(intended.access, again.access) if str(cell.caller) == "owner"]
    assert lost == []
