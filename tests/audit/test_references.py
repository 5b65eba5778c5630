"""Foreign keys that refuse a DELETE or an UPDATE of a key, after privileges and policies have
accepted the row.
"""

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity
from tests.audit.conftest import run_audit
from tests.audit.recorded import in_words

# the policies of boxes are open, those of crates are not
SCHEMA = """
create table public.boxes (
  code text primary key, user_id uuid not null references auth.users, above text references public.boxes
);
create table public.crates (code text primary key, user_id uuid not null references auth.users);
create table public.box_items (box text not null references public.boxes on delete restrict, body text);
create table public.crate_items (crate text not null references public.crates, body text);
alter table public.boxes enable row level security;
alter table public.crates enable row level security;
alter table public.box_items enable row level security;
alter table public.crate_items enable row level security;
create policy "read" on public.boxes for select to authenticated using (user_id = auth.uid());
create policy "change" on public.boxes for update to authenticated using (code is not null);
create policy "clear" on public.boxes for delete to authenticated using (code is not null);
create policy "own" on public.crates to authenticated using (user_id = auth.uid());
revoke update on public.boxes from authenticated, anon;
grant update (code) on public.boxes to authenticated;
"""
# a DELETE of anyone's fails in this trigger, whatever the policies say
STATEMENT_TRIGGER = """
create table public.drawers (code text primary key, user_id uuid not null references auth.users);
alter table public.drawers enable row level security;
create policy "own" on public.drawers for select to authenticated using (user_id = auth.uid());
create policy "none" on public.drawers for delete to authenticated using (code is null);
create function public.clear() returns trigger language plpgsql security definer as
$$ begin delete from public.crates; return null; end $$;
create trigger clear after delete on public.drawers for each statement execute function public.clear();
"""
ROW_TRIGGER = """
create table public.shelves (code text primary key, user_id uuid not null references auth.users);
alter table public.shelves enable row level security;
create policy "own" on public.shelves for select to authenticated using (user_id = auth.uid());
create policy "anyone" on public.shelves for delete to authenticated using (code is not null);
create trigger clear after delete on public.shelves for each row execute function public.clear();
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_a_row_that_only_a_foreign_key_keeps_was_accepted_by_the_policies(
    project: Connection,
) -> None:
    project.execute((SCHEMA + STATEMENT_TRIGGER + ROW_TRIGGER).encode())
    result = run_audit(project)
    errors = {f.id: f for f in result.findings if f.severity is Severity.ERROR}
    assert errors.keys() == {
        "write:public.boxes:update",
        "write:public.boxes:delete",
        "write:public.shelves:delete",
    }
    assert {f.cause for f in errors.values()} == {
        'policy "change"',
        'policy "clear"',
        'policy "anyone"',
    }
    assert in_words(result)["public.crates"] == {
        "anon": "none",
        "newcomer": "none",
        "stranger": "none",
        "owner": "read insert update(code) delete",
    }
    assert in_words(result)["public.drawers"]["stranger"] == "none"
    outcomes = {
        c.outcome
        for c in result.cells
        if (c.object, c.action, c.caller) == ("public.drawers", "delete", "stranger")
    }
    assert outcomes == {"23503"}
    for finding in errors.values():
        project.execute(finding.fix.encode())
    assert not [
        f for f in run_audit(project, repairs=False).findings if f.severity is Severity.ERROR
    ]
