"""Rows for a schema with claims, headers, cycles, partitions, patterns and triggers; nothing of
them remains.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.api.marked_ids import is_marked_id
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.baseline import Baseline, apply
from supabase_jobs.audit.catalog import Column, Constraint, Relation
from supabase_jobs.audit.committed import marked
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.policies.parse_trees import body_trees, calls
from supabase_jobs.audit.rows import states, values
from supabase_jobs.audit.rows.patterns import like, matching
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.audit.rows.values import candidates
from supabase_jobs.audit.scene import insert_world
from supabase_jobs.audit.words import load
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Audit, Severity
from supabase_jobs.report.producers.audit import rows
from supabase_jobs.session.sign_up import SignUpRejectedError
from tests.audit.conftest import run_audit
from tests.audit.recorded import in_words
from tests.fix_db import Make, session_copy
from tests.programs import DEFAULT_MAJOR

ODD_SCHEMA = Path(__file__).with_name("odd_schema.sql")


@pytest.fixture(scope="session")
def odd_url(request: pytest.FixtureRequest) -> str:
    """A database with the odd schema."""
    database = session_copy(request, "odd", "platform", DEFAULT_MAJOR)
    with connect(database.url) as connection:
        connection.execute(ODD_SCHEMA.read_bytes())
    return database.url


@pytest.fixture(scope="session")
def odd(odd_url: str) -> Audit:
    """The audit of the odd schema."""
    with connect(odd_url) as connection:
        return run_audit(connection, repairs=False)


@pytest.fixture
def todos(project_url: Callable[[str], str]) -> Iterator[Connection]:
    """The database of the project todos."""
    with connect(project_url("todos")) as connection:
        yield connection


def test_own_tables_are_audited_as_they_are_declared(shared: Callable[[int], str]) -> None:
    """Without configuration: guests and users reach only their own rows, as access.toml declares."""
    with connect(shared(DEFAULT_MAJOR)) as connection:
        result = run_audit(connection, repairs=False)
    assert result.findings == ()
    assert result.not_tested == ()
    jobs, of_guests = (
        in_words(result)["public.async_jobs"],
        in_words(result)["public.async_jobs (of a guest)"],
    )
    assert jobs["owner"].startswith("read insert update(")
    assert jobs["owner"].endswith(") delete")
    assert "user_id" not in jobs["owner"]
    assert of_guests["anon with the row's header"] == "read insert update"
    outsiders = ("anon", "anon with another header", "newcomer", "stranger")
    assert {access[caller] for access in in_words(result).values() for caller in outsiders} == {
        "none"
    }


def test_every_table_has_rows(odd: Audit) -> None:
    assert odd.not_tested == ()
    assert odd.planted == odd.tables == 57


def test_only_error_of_the_odd_schema_is_an_admin_of_every_tenant(odd: Audit) -> None:
    assert [f.id for f in odd.findings if f.severity is Severity.ERROR] == [
        "write:public.invoices:delete"
    ]


def test_claim_and_header_reach_the_rows_of_their_tenant(odd: Audit) -> None:
    assert in_words(odd)["public.invoices"]["owner"].startswith("read insert")
    assert in_words(odd)["public.readings"]["anon with the row's header"].startswith("read insert")
    assert in_words(odd)["public.readings"]["anon with another header"] == "none"


NUMBERED = """
create table public.bills (id bigint generated always as identity primary key, tenant int not null, note text);
alter table public.bills enable row level security;
create policy own on public.bills to authenticated
using (tenant = ((select auth.jwt()) ->> 'tenant')::int);
"""


@pytest.mark.parametrize("stable", [False, True])
def test_tenants_have_different_numbers_in_a_claim(platform_url: str, stable: bool) -> None:
    """In each run, and not only if their random digits happen to differ."""
    with connect(platform_url) as connection:
        connection.execute(NUMBERED)
        result = audit(connection, Options(repairs=False, stable=stable))
    [found] = [s for s in result.summaries if s.object.label == "public.bills"]
    assert found.access == dict.fromkeys(("select", "insert", "update", "delete"), "group")
    assert [f.id for f in result.findings if f.severity is Severity.ERROR] == []


def test_claim_that_is_compared_with_a_constant_is_a_caller(odd: Audit) -> None:
    assert (
        in_words(odd)["public.invoices"]["user with user_role = admin"] == "delete"
    )  # attachments keep the row
    assert in_words(odd)["public.posts"]["user with user_role = admin"] == "delete"


def test_rows_in_each_state_that_policies_distinguish(odd: Audit) -> None:
    assert in_words(odd)["public.posts"]["anon"] == "none"
    assert in_words(odd)["public.posts (visibility = public)"]["anon"] == "read"
    assert in_words(odd)["public.posts (deleted_at is set)"]["anon"] == "none"
    assert in_words(odd)["public.invitations"]["stranger"] == "read"
    assert in_words(odd)["public.invitations (accepted_at is set)"]["stranger"] == "none"


def test_rows_below_a_parent_in_each_state_that_policies_read(odd: Audit) -> None:
    private, public, deleted = (
        {name: in_words(odd)[f"public.{name}{state}"] for name in ("comments", "reactions")}
        for state in ("", " (posts: visibility = public)", " (posts: deleted_at is set)")
    )
    assert {name: callers["anon"] for name, callers in private.items()} == {
        "comments": "none",
        "reactions": "none",
    }
    assert {name: callers["anon"] for name, callers in public.items()} == {
        "comments": "read",
        "reactions": "read",
    }
    assert {name: callers["anon"] for name, callers in deleted.items()} == {
        "comments": "none",
        "reactions": "none",
    }
    assert (private["comments"]["stranger"], public["comments"]["stranger"]) == (
        "none",
        "read join",
    )


def test_rows_that_two_states_open_together(odd: Audit) -> None:
    shows, tickets = (
        {
            name: access["anon"]
            for name, access in in_words(odd).items()
            if name.startswith(f"public.{table}")
        }
        for table in ("shows", "tickets")
    )
    assert {name for name, access in shows.items() if access == "read"} == {
        "public.shows (approved = true, published = true)"
    }
    assert {name for name, access in tickets.items() if access == "read"} == {
        "public.tickets (shows: approved = true, published = true; status = paid)"
    }
    assert {
        "public.tickets (status = paid)",
        "public.tickets (shows: published = true)",
    } < tickets.keys()


def test_rights_of_each_side_of_a_row(odd: Audit) -> None:
    assert in_words(odd)["public.trades"]["owner"].startswith("read update(")
    assert in_words(odd)["public.trades (seller_id of another)"]["owner"] == "read update"
    assert in_words(odd)["public.trades (buyer_id of another)"]["owner"] == "read"
    assert in_words(odd)["public.letters_sent"]["owner"].startswith("read update(")
    assert in_words(odd)["public.letters_sent (sender_id of another)"]["owner"] == "read"
    assert "public.letters_sent (recipient_id of another)" not in in_words(
        odd
    )  # that of the first row


def test_user_who_belongs_to_a_row_of_the_owner_by_another_table(odd: Audit) -> None:
    assert in_words(odd)["public.programs"]["holder_id of tickets"] == "read"
    assert in_words(odd)["public.recordings"]["holder_id of tickets"] == "none"
    assert in_words(odd)["public.tickets"]["holder_id of tickets, own rows"].startswith("read")


def test_state_of_the_baseline_is_tried_when_no_policy_mentions_it(
    odd: Audit, odd_url: str
) -> None:
    with connect(odd_url) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "alter policy g on public.tickets using (true); alter policy p on public.shows using"
            " (true)"
        )
        found = run_audit(connection, odd.access, repairs=False).access
    assert found.keys() == odd.access.keys()
    shows = [name for name in found if name.label == "public.shows"]
    changed = {str(name) for name in shows if found[name] != odd.access[name]}
    assert changed == {
        "public.shows",
        "public.shows (approved = true)",
        "public.shows (published = true)",
    }


def test_members_of_a_group_in_another_state(odd: Audit) -> None:
    for caller in ("owner", "member of club_members"):
        assert in_words(odd)["public.club_posts"][caller].startswith("read update(")
        assert in_words(odd)["public.club_posts (clubs: archived is set)"][caller] == "read"
        assert in_words(odd)["public.clubs (archived is set)"][caller] == "read"


def test_matrix_omits_states_in_which_nothing_differs(odd: Audit) -> None:
    shown = {row.object: row.access for row in rows(odd)}
    assert {name for name in shown if name.startswith(("public.trades", "public.shows"))} == {
        "public.trades",
        "public.trades (buyer_id of another)",
        "public.trades (seller_id of another)",
        "public.shows",
        "public.shows (approved = true, published = true)",
    }
    assert "public.shows (approved = true)" in in_words(odd)


def test_state_of_a_parent_that_only_a_function_of_its_children_reads(odd: Audit) -> None:
    assert in_words(odd)["public.cards"]["owner"] == "read insert update(id,title)"
    assert in_words(odd)["public.cards (boards: archived is set)"]["owner"] == "read"


def test_state_that_policies_refuse_without_naming_it(odd: Audit) -> None:
    """They compare the column with the value of the first row only, of which a user has one."""
    assert in_words(odd)["public.basket_items"]["owner"] == "read insert"
    assert in_words(odd)["public.basket_items (baskets: state = sent)"]["owner"] == "read"


def test_insert_of_a_row_in_each_state(odd: Audit) -> None:
    assert in_words(odd)["public.baskets"]["owner"] == "read insert"
    assert in_words(odd)["public.baskets (state = sent)"]["owner"] == "read"


def test_insert_below_a_row_that_a_key_with_a_user_identifies(odd: Audit) -> None:
    assert in_words(odd)["public.results"]["newcomer"] == "join"


def test_former_member_has_left_the_staff_too(odd: Audit) -> None:
    assert in_words(odd)["public.patients"]["former member of patient_members"] == "none"
    member = "read insert update delete join"  # an employee of the clinic, by their own row
    assert in_words(odd)["public.patients"]["member of patient_members"] == member


def test_time_that_policies_want_to_be_set_is_a_state(odd: Audit) -> None:
    assert in_words(odd)["public.letters"]["anon"] == "none"
    assert in_words(odd)["public.letters (released_at is set)"]["anon"] == "read"


def test_time_on_the_other_side_of_now_is_a_state(odd: Audit) -> None:
    assert in_words(odd)["public.passes"]["anon"] == "read"
    assert in_words(odd)["public.passes (valid_until is in the past)"]["anon"] == "none"


def test_row_that_the_staff_adds_about_another_user_is_a_question(odd: Audit) -> None:
    [finding] = [f for f in odd.findings if f.object == "public.records"]
    assert (finding.id, finding.severity) == ("forged:public.records", Severity.QUESTION)


def test_call_in_a_declaration_of_plpgsql_is_found() -> None:
    trees = body_trees(
        "plpgsql", "declare r app.roles := app.role_in(org); begin n := app.count(); return r; end"
    )
    assert calls(trees) == {("app", "role_in"), ("app", "count")}


def test_array_of_users_names_those_of_one_tenant(odd: Audit) -> None:
    assert (
        in_words(odd)["public.threads"]["owner"],
        in_words(odd)["public.threads"]["stranger"],
    ) == (
        "read insert",
        "none",
    )
    assert in_words(odd)["public.messages"]["owner"] == "read insert update(id,thread_id) delete"
    assert in_words(odd)["public.messages"]["stranger"] == "join"


def test_membership_that_has_not_stopped(odd: Audit) -> None:
    access = in_words(odd)["public.classes"]
    assert (access["member of attendees"], access["former member of attendees"]) == ("read", "none")


def test_update_to_the_value_of_a_hidden_row_reaches_nothing(odd: Audit) -> None:
    """The table has a trigger, so that the value is read after the update."""
    assert in_words(odd)["public.consents"]["stranger"] == "none"
    assert in_words(odd)["public.goals"]["stranger"] == "none"


def test_unique_key_of_a_partition_refuses_what_policies_accept(odd: Audit) -> None:
    assert (
        in_words(odd)["public.measures"]["owner"],
        in_words(odd)["public.measures"]["stranger"],
    ) == (
        "insert",
        "none",
    )


def test_addresses_without_an_owner_that_anyone_reads_are_a_warning(odd: Audit) -> None:
    [finding] = [
        f for f in odd.findings if f.id == "public:public.subscribers (confirmed = true):select"
    ]
    assert (finding.severity, finding.message) == (
        Severity.WARNING,
        "Anyone can read rows, with email",
    )


def test_secret_that_only_signed_in_users_read_is_a_warning(odd: Audit) -> None:
    [finding] = [f for f in odd.findings if f.object == "public.sellers"]
    message = "Any signed-in user can read other users' rows, with iban"
    assert (finding.id, finding.severity, finding.message) == (
        "public:public.sellers:select",
        Severity.WARNING,
        message,
    )


def test_column_that_a_grant_opens_is_wider_access(odd: Audit, odd_url: str) -> None:
    assert (
        in_words(odd)["public.sellers"]["anon"],
        in_words(odd)["public.sellers"]["newcomer"],
    ) == (
        "read(name,user_id)",
        "read",
    )
    known = [f.id for f in odd.findings]
    for grant, action, fix, tables in (
        (
            "select (iban)",
            "read(iban)",
            'revoke select ("iban") on "public"."sellers" from "anon";',
            (),
        ),
        (
            "select",
            "read",
            'revoke select on "public"."sellers" from "anon"; grant select ("user_id", "name") on "public"."sellers"'
            ' to "anon";',
            ("public.sellers",),  # other tables are not concerned, as the first has shown
        ),
    ):
        options = Options(accepted=odd.access, intended=known, repairs=False, tables=tables)
        with connect(odd_url) as connection, connection.transaction(force_rollback=True):
            connection.execute(f"grant {grant} on public.sellers to anon")
            result = audit(connection, options)
        now = apply(
            result, Baseline(odd.access, result.functions), strict=False, narrowed=bool(tables)
        )
        found = {
            str(f.id): (f.cause, f.fix.splitlines()[-1])
            for f in now.findings
            if f.id.startswith("baseline:")
        }
        cause = f"a grant of {grant.replace('select', 'SELECT')}"
        assert found[f"baseline:public.sellers:anon:{action}:wider"] == (cause, fix)
        assert set(found.values()) == {(cause, fix)}


def test_trigger_that_replaces_the_author_lets_nobody_forge_it(odd: Audit) -> None:
    assert in_words(odd)["public.notices"]["owner"] == "read insert"
    assert in_words(odd)["public.notices"]["stranger"] == "none"


def test_a_stranger_is_no_moderator(odd: Audit) -> None:
    assert (
        in_words(odd)["public.complaints"]["stranger"],
        in_words(odd)["public.complaints"]["owner"],
    ) == ("none", "read")


def test_a_row_below_a_readable_parent_is_a_question(odd: Audit) -> None:
    assert "join" in in_words(odd)["public.answers"]["stranger"]
    [finding] = [f for f in odd.findings if f.object == "public.answers"]
    assert (finding.id, finding.severity) == ("readable-parent:public.topics", Severity.QUESTION)


def test_values_of_a_pattern_of_digits_differ() -> None:
    column = Column(
        "serial", "text", "text", "b", "", -1, None, "", True, None, "", "", (), (), frozenset()
    )
    limits = Limits(patterns=["^[A-Z]{3}-[0-9]{6}$"])
    first, second = (
        {
            v
            for v in candidates(column, limits, f"zq{name}eaf", 1, datetime.now(UTC), load())
            if re.match("^[A-Z]{3}-[0-9]{6}$", v or "")
        }
        for name in "ab"
    )
    assert first ^ second


def test_owner_column_of_a_state_is_reported_once(odd: Audit) -> None:
    ids = [finding.id for finding in odd.findings]
    assert len(ids) == len(set(ids))


def test_nothing_remains(todos: Connection) -> None:
    counts = "select (select count(*) from auth.users), (select count(*) from public.todos)"
    before = todos.execute(counts).fetchall()
    audit(todos, Options())
    assert todos.execute(counts).fetchall() == before
    assert todos.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_rows_of_others_are_not_locked(
    todos: Connection, project_url: Callable[[str], str]
) -> None:
    """Another session locks the existing rows of every table; the audit does not wait for them."""
    with connect(project_url("todos")) as other:
        todos.execute("insert into auth.users (id) values ('a0000000-0000-4000-8000-000000000009')")
        todos.execute(
            "insert into public.lists (owner_id, name) select id, 'existing' from auth.users"
        )
        todos.execute(
            "insert into public.todos (list_id, title) select id, 'existing' from public.lists"
        )
        other.execute("begin")
        try:
            for table in ("lists", "todos", "tags", "todo_tags"):
                other.execute(f"select from public.{table} for update".encode())
            result = audit(todos, Options())
        finally:
            other.execute("rollback")
            todos.execute(
                "delete from auth.users where id = 'a0000000-0000-4000-8000-000000000009'"
            )
    assert not {cell.outcome for cell in result.cells} & {"55P03", "57014"}  # waited for a lock
    assert result.planted == result.tables


def test_texts_that_identify_a_row_without_its_token() -> None:
    def marks(base: str, value: str, *, unique: bool) -> tuple[str, ...]:
        key = Constraint("key", "u" if unique else "x", ("name",), None, None, (), None, False)
        column = Column(
            "name", base, base, "b", "", -1, None, "", True, None, "", "", (), (), frozenset()
        )
        relation = Relation(
            1,
            "public",
            "t",
            "r",
            True,
            "",
            False,
            0,
            None,
            None,
            frozenset(),
            (),
            (),
            (column,),
            (key,),
            (),
        )
        return Row(relation, {"name": value}, "", "zqa12ab340007").marks

    assert marks("citext", "zqa12ab34u001@example.com", unique=False) == (
        "zqa12ab34u001@example.com",
    )
    assert marks("text", "0A1B2C3D4E", unique=True) == ("0A1B2C3D4E",)
    assert marks("text", "0A1B2C3D4E", unique=False) == ()
    assert marks("text", "zqa12ab34u001", unique=False) == ("zqa12ab34u001",)
    assert marks("text", "1A", unique=True) == ()


def test_ids_of_findings_and_access_are_equal_in_each_run(odd: Audit, odd_url: str) -> None:
    """Trying repairs changes neither."""
    with connect(odd_url) as connection:
        again = run_audit(connection)
    assert [f.id for f in again.findings] == [f.id for f in odd.findings]
    assert [f.fix for f in again.findings] != [f.fix for f in odd.findings]
    for name, callers in again.access.items():
        assert callers == odd.access[name], name
    assert again.access.keys() == odd.access.keys()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^[a-z0-9_]{3,30}$", "zqa12"),
        ("^[a-z0-9]+(-[a-z0-9]+)*$", "zqa12"),
        ("^[A-Za-z0-9._%-]+@[A-Za-z0-9.-]+[.][A-Za-z]+$", "zqa12@A.A"),
        ("^#[0-9a-fA-F]{6}$", "#000000"),
        (r"^\+[1-9]\d{1,14}$", "+10"),
        ("^(draft|done)$", "draft"),
        ("^[A-Z]{3}-[0-9]{4}$", "AAA-0000"),
        ("^(?=.*x).*$", "zqa12"),
    ],
)
def test_text_that_matches_a_pattern(pattern: str, text: str) -> None:
    assert matching(pattern, "zqa12") == text


def test_text_that_matches_a_like_pattern() -> None:
    assert like("https://%.com", "zqa12") == "https://zqa12.com"
    assert like("%_@_%", "zqa12") == "zqa12a@a"


FRIENDS = """
create table public.friends (
  a uuid references auth.users, b uuid references auth.users, accepted boolean not null default false,
  primary key (a, b), check (a <> b)
);
alter table public.friends enable row level security;
create policy "read" on public.friends for select using (auth.uid() in (a, b));
create policy "ask" on public.friends for insert with check (auth.uid() = a);
create policy "answer" on public.friends for update using (auth.uid() in (a, b));
create table public.posts (id bigserial primary key, author uuid not null default auth.uid() references auth.users);
alter table public.posts enable row level security;
create policy "read" on public.posts for select using (
  author = auth.uid() or exists (
    select from public.friends as f
    where f.accepted and ((f.a = auth.uid() and f.b = author) or (f.b = auth.uid() and f.a = author))
  )
);
"""


def test_two_users_in_a_row_of_friends_are_no_group(todos: Connection) -> None:
    with todos.transaction(force_rollback=True):
        todos.execute(FRIENDS.encode())
        result = run_audit(todos)
    assert {cell.object for cell in result.cells} >= {"public.friends", "public.posts"}
    assert not [n for n in result.not_tested if n.object in ("public.friends", "public.posts")]


def test_key_of_a_cycle_is_checked_in_attempts(odd_url: str) -> None:
    with connect(odd_url) as connection, connection.transaction(force_rollback=True):
        insert_world(connection, Options(), marked())
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("delete from public.pages")


NAMED = """
create table public.handles (id uuid primary key references auth.users, first text unique, last text unique);
create function public.name_user() returns trigger language plpgsql security definer set search_path = '' as $$ begin
  insert into public.handles values (new.id, 'user_' || left(new.id::text, {0}), 'user_' || right(new.id::text, {0}));
  return new;
end $$;
create trigger name_user after insert on auth.users for each row execute function public.name_user();
"""


def test_names_derived_from_the_digits_of_an_id_are_unique(todos: Connection) -> None:
    with todos.transaction(force_rollback=True):
        todos.execute(NAMED.format(6).encode())
        world = insert_world(todos, Options(), marked())
        ids = [user.id for user in (*world.a.users, *world.b.users)]
        assert len(ids) == len([i for i in ids if is_marked_id(i)]) > 2
    with todos.transaction(force_rollback=True):
        todos.execute(NAMED.format(0).encode())
        with pytest.raises(SignUpRejectedError) as caught:
            insert_world(todos, Options(), marked())
        assert "random value" in str(caught.value.hint)


SHARE_LINKS = """
create table public.links (
  id uuid primary key default gen_random_uuid(), owner uuid not null references auth.users, token text not null unique,
  expires_at timestamptz not null, opened_on date
);
alter table public.links enable row level security;
create policy "open links" on public.links for select using (expires_at > now() and opened_on is null);
"""


def test_generated_times_are_those_of_the_server(
    make_database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a baseline with expiries stays, whatever the clock of the client shows."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Wrong":
            return cls(2001, 2, 3, tzinfo=tz)

    database = make_database("services", 17)
    with connect(database.url) as connection:
        connection.execute(SHARE_LINKS.encode())
        first = audit(connection, Options(stable=True))
        for module in (values, states):
            monkeypatch.setattr(module, "datetime", Wrong)
        assert audit(connection, Options(stable=True)).access == first.access
