"""Views and functions over auth.users, and views that show or change no more, or more, than their
tables.
"""

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity
from supabase_jobs.report.producers.audit import rows
from tests.audit.conftest import decided, run_audit
from tests.audit.recorded import in_words

SCHEMA = """
create view public.people as select id, email as contact from auth.users;
create view public.contacts as select * from public.people;
create view public.me as select id, email from auth.users where id = auth.uid();
create view public.accounts as select id, raw_app_meta_data as data from auth.users;
create view public.preferences as select id, raw_user_meta_data from auth.users where id = auth.uid();
create view public.answer as select 42 as n;
create function public.address_of(user_id uuid) returns text language sql stable security definer
as 'select email from auth.users as u where u.id = $1';
create function public.addresses() returns setof text language sql stable security definer
as 'select contact from public.people';
create function public.my_address() returns text language sql stable security definer
as 'select email from auth.users as u where u.id = auth.uid()';
create table public.articles (id bigint primary key, user_id uuid not null references auth.users, title text not null);
alter table public.articles enable row level security;
create policy "read" on public.articles for select using (true);
create policy "own" on public.articles to authenticated using (user_id = auth.uid());
create view public.my_articles as
select id, title, (select u.email from auth.users as u where u.id = auth.uid()) as author
from public.articles where user_id = auth.uid();
create view public.all_articles as select id, title from public.articles;
create table public.topics (id uuid primary key, user_id uuid not null references auth.users);
create table public.readers (id uuid primary key references auth.users);
create table public.marks (
  reader_id uuid references public.readers, topic_id uuid references public.topics, details jsonb,
  primary key (reader_id, topic_id)
);
alter table public.topics enable row level security;
alter table public.readers enable row level security;
alter table public.marks enable row level security;
create policy "own" on public.readers using (id = auth.uid());
create policy "own" on public.marks using (reader_id = auth.uid());
create policy "marked" on public.topics for select
using (true or exists (select from public.marks as m where m.reader_id = auth.uid()));
create view public.all_marks as select reader_id, details from public.marks;
create view public.shown_articles with (security_invoker = true) as select id, title from public.articles;
"""


OWN = ("public.me", "public.preferences")
STRONG = (Severity.ERROR, Severity.WARNING)


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_views_and_functions_over_users(project: Connection) -> None:
    known = {f.id for f in run_audit(project, repairs=False).findings}
    project.execute(SCHEMA.encode())
    result = run_audit(project)
    found = {f.id: f for f in result.findings if f.severity in STRONG and f.id not in known}
    assert {
        id_: f.severity for id_, f in found.items() if ":update" not in id_ and ":delete" not in id_
    } == {
        "view:public.people:select": Severity.ERROR,
        "view:public.contacts:select": Severity.ERROR,
        "view:public.all_marks:select": Severity.WARNING,
        "function-reads:public.address_of(uuid)": Severity.ERROR,
        "function-reads:public.addresses()": Severity.ERROR,
    }
    assert {id_: (f.severity, f.message) for id_, f in found.items() if f.object in OWN} == {
        "view:public.me:update": (
            Severity.ERROR,
            "Any signed-in user can change their own row of auth.users by the view",
        ),
        "view:public.me:delete": (
            Severity.WARNING,
            "Any signed-in user can delete their own row of auth.users by the view",
        ),
        "view:public.preferences:update": (
            Severity.WARNING,
            "Any signed-in user can change their own row of auth.users by the view",
        ),
        "view:public.preferences:delete": (
            Severity.WARNING,
            "Any signed-in user can delete their own row of auth.users by the view",
        ),
    }
    assert {
        "view:public.accounts:update",
        "view:public.accounts:delete",
        "view:public.people:update",
        "view:public.people:delete",
        "view:public.all_articles:update",
        "view:public.all_articles:delete",
        "view:public.all_marks:update",
    } <= set(found)
    # a mark of one's own refers to one's own row of readers
    parents = [
        f.message for f in result.findings if f.id == "unreadable-parent:public.marks:insert"
    ]
    assert not [message for message in parents if "public.readers" in message]
    assert not [
        id_ for id_ in found if "shown_articles" in id_ or "answer" in id_ or "my_articles" in id_
    ]
    matrix = {row.object: row.access["select"] for row in rows(result)}
    shown = {
        name: matrix[f"public.{name}"]
        for name in ("people", "me", "answer", "all_articles", "shown_articles")
    }
    assert shown == {
        "people": "all",
        "me": "own",
        "answer": "all",
        "all_articles": "all",
        "shown_articles": "all",
    }
    for finding in found.values():
        project.execute(decided(finding.fix).encode())
    again = run_audit(project)
    assert "read" in in_words(again)["public.me"]["owner"]
    assert not [f for f in again.findings if f.severity in STRONG and f.id not in known]


# slots without a text by which a row is recognized
SLOTS = """
create table public.slots (
  id uuid primary key default gen_random_uuid(), user_id uuid not null references auth.users,
  starts_at timestamptz not null, note text
);
alter table public.slots enable row level security;
create policy "own" on public.slots using (user_id = auth.uid()) with check (user_id = auth.uid());
create view public.calendar as select starts_at from public.slots;
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_a_view_is_read_whether_or_not_its_table_refuses_the_rows(project: Connection) -> None:
    """A row that the table shows too is no bypass of the view, and the view shows it all the same:
    what opens the table closes no view.
    """
    project.execute(SLOTS.encode())
    before = in_words(run_audit(project, repairs=False))["public.calendar"]
    assert {before[one] for one in ("anon", "newcomer", "stranger", "owner")} == {"read"}
    project.execute('create policy "all" on public.slots for select to authenticated using (true)')
    assert in_words(run_audit(project, repairs=False))["public.calendar"] == before
