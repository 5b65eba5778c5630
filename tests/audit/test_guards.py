"""Repairs by other conditions of the project: triggers by which the staff keeps deciding about a
column, names that mean what was meant, rows that are not in the state of a leak.
"""

from collections.abc import Iterator

import pytest

from supabase_jobs.audit.repairs import captured, guards
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AuditFinding
from tests.audit.catalogs import catalog, function, policy, table
from tests.audit.conftest import run_audit
from tests.audit.test_examples import EXAMPLES
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

# a keeper of a reptile house writes into the diaries that they read, and moves an entry of their own
REPTILES = """
create table vivaria (id uuid primary key default gen_random_uuid(), keeper uuid not null references auth.users);
create table helpers (vivarium_id uuid not null references vivaria, person uuid not null references auth.users,
  primary key (vivarium_id, person));
create table entries (id uuid primary key default gen_random_uuid(), vivarium_id uuid not null references vivaria,
  author uuid not null references auth.users, body text);
alter table vivaria enable row level security;
alter table helpers enable row level security;
alter table entries enable row level security;
create policy "own" on vivaria for select to authenticated using (keeper = auth.uid());
create policy "own" on helpers for select to authenticated using (person = auth.uid());
create policy "of vivaria" on entries for select to authenticated using (
  author = auth.uid() or exists (select from vivaria v where v.id = vivarium_id)
);
create policy "write" on entries for insert to authenticated with check (
  author = auth.uid() and exists (select from vivaria v where v.id = vivarium_id)
);
create policy "change" on entries for update to authenticated
  using (author = auth.uid()) with check (author = auth.uid());
"""

# pupils read the questions of a task before it is published, and teachers all of them
TASKS = """
create table classes (id uuid primary key default gen_random_uuid(), teacher uuid not null references auth.users, name text);
create table pupils (class_id uuid not null references classes, person uuid not null references auth.users,
  primary key (class_id, person));
create table tasks (id uuid primary key default gen_random_uuid(), class_id uuid not null references classes,
  title text, published boolean not null default false);
create table questions (id uuid primary key default gen_random_uuid(),
  task_id uuid not null references tasks on delete cascade, body text);
alter table classes enable row level security;
alter table pupils enable row level security;
alter table tasks enable row level security;
alter table questions enable row level security;
create function sits_in(class uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from pupils where class_id = class and person = auth.uid()) $$;
create function teaches(class uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from classes where id = class and teacher = auth.uid()) $$;
create function class_of(task uuid) returns uuid language sql stable security definer set search_path = public
as $$ select class_id from tasks where id = task $$;
create policy "teach" on classes for select to authenticated using (teacher = auth.uid() or sits_in(id));
create policy "own" on pupils for select to authenticated using (person = auth.uid() or teaches(class_id));
create policy "pupils" on tasks for select to authenticated using (published and sits_in(class_id));
create policy "teachers" on tasks to authenticated using (teaches(class_id)) with check (teaches(class_id));
create policy "class" on questions for select to authenticated
  using (sits_in(class_of(task_id)) or teaches(class_of(task_id)));
"""

# whose token says so signs the logs of others, and a dive is signed by whom it names when it is new
DIVES = """
create function grade() returns text language sql stable set search_path = ''
as $$ select coalesce(auth.jwt() -> 'app_metadata' ->> 'grade', 'diver') $$;
create table logs (id uuid primary key default gen_random_uuid(), written_by uuid references auth.users,
  approved_by uuid references auth.users, body text);
create table dives (id uuid primary key default gen_random_uuid(), written_by uuid references auth.users,
  approved_by uuid, depth text not null);
alter table logs enable row level security;
alter table dives enable row level security;
create policy "read" on logs for select to authenticated
  using (written_by = auth.uid() or approved_by = auth.uid() or grade() = 'master');
create policy "write" on logs for insert to authenticated
  with check (written_by = auth.uid() and approved_by is null);
create policy "change" on logs for update to authenticated
  using (written_by = auth.uid() or grade() = 'master');
create policy "read" on dives for select to authenticated using (written_by = auth.uid() or grade() = 'master');
create policy "write" on dives for insert to authenticated with check (written_by = auth.uid());
create policy "change" on dives for update to authenticated
  using (written_by = auth.uid() or grade() = 'master');
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "guards", "services", DEFAULT_MAJOR).url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as opened, opened.transaction(force_rollback=True):
        yield opened


def findings(connection: Connection, project: str) -> dict[str, AuditFinding]:
    """The findings of a project by their ids."""
    connection.execute(project.encode())
    return {one.id: one for one in run_audit(connection).findings}


def example(name: str) -> str:
    """The project of an example with its hole."""
    one = EXAMPLES[name]
    sql: str = one["sql"]
    return sql.replace(one["old"], one["new"]) if "old" in one else sql


def test_column_that_others_change_by_another_condition(connection: Connection) -> None:
    one = findings(connection, example("head_of_a_school"))["escalation:public.folks:update:role"]
    assert one.proven
    assert 'before update of "role" on' in one.fix
    assert "public.my_role() = 'head'" in one.fix


def test_who_signs_for_others_keeps_signing(connection: Connection) -> None:
    found = findings(connection, DIVES)
    signed = found["service-column:public.logs:update:approved_by"]
    assert "revoke update" not in signed.fix
    # who may not change it any more writes it into a new row
    dive = found["service-column:public.dives:update:approved_by"]
    assert dive.proven
    left = "It leaves: Users still choose approved_by of new rows of public.dives."
    assert left in dive.fix.replace("\n-- ", " ")


def test_reference_changes_only_to_what_the_caller_reads(connection: Connection) -> None:
    moved = findings(connection, REPTILES)["unreadable-parent:public.entries:update"]
    assert moved.proven
    assert 'before update of "vivarium_id" on' in moved.fix
    assert "(select new.*)" in moved.fix


def test_parts_of_rows_that_members_read_stay(connection: Connection) -> None:
    found = findings(connection, TASKS)
    hidden = next(one for name, one in found.items() if name.startswith("hidden-parent:"))
    assert hidden.proven
    assert "public.sits_in(public.class_of(task_id))" in hidden.fix


def test_names_that_mean_a_nearer_column(connection: Connection) -> None:
    found = findings(connection, example("names_of_columns"))
    pinned = found["captured-name:public.notices:pin up:public.porters.house_id"]
    assert pinned.proven
    assert 'p.house_id = "notices"."house_id"' in pinned.fix
    rung = found["captured-name:public.ring(integer):public.porters.house_id"]
    assert "p.house_id = $1" in rung.fix


def test_rows_in_the_state_of_a_leak_are_left_out(connection: Connection) -> None:
    one = findings(connection, example("missing_ticket"))[
        "public:public.entries (ticket is null):select"
    ]
    assert one.proven
    assert '"ticket" is not null' in one.fix


def test_all_conditions_but_one() -> None:
    folks = table("folks", "id", "role")
    own = policy("(id = auth.uid())", "w")
    head = policy("(is_head() OR is_boss())", "w")
    changed = table("folks", "id", "role", policies=(own, head))
    assert list(guards.conditions(folks, "authenticated")) == []
    assert list(guards.conditions(changed, "authenticated")) == [
        "(is_head()) or (is_boss())",
        "((id = auth.uid())) or (is_boss())",
        "((id = auth.uid())) or (is_head())",
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "select exists (select from t where id = id)",
            "select exists (select from t where id = $1)",
        ),
        (
            "select exists (select from t x where x.id = id)",
            "select exists (select from t x where x.id = $1)",
        ),
        ("select exists (select from t where id = $1)", ""),
    ],
)
def test_argument_that_a_column_goes_before(body: str, expected: str) -> None:
    one = function("f", body, arguments=("id",))
    assert captured.body(catalog(table("t", "id"), functions=[one]), one) == expected
