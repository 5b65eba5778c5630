"""Usage of columns as policies and functions reveal it, without a database."""

from dataclasses import replace
from operator import attrgetter
from typing import Any

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Catalog, Constraint, Function
from supabase_jobs.audit.policies.usage import added, usage
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.findings import AccessObject
from tests.audit.catalogs import (
    ALL,
    INSERT,
    SELECT,
    UPDATE,
    catalog,
    column,
    foreign_key,
    function,
    policy,
    table,
)


def read(found: Catalog) -> Usage:
    return usage.usage(found, words.load())


def of_policy(text: str, command: str = SELECT) -> Usage:
    """Usage that a policy of public.notes (oid 1) reveals."""
    return read(
        catalog(table("notes", "id", "owner", "team", "state", policies=[policy(text, command)]))
    )


CALLER = "owner = (select auth.uid())::text"


def test_column_that_a_policy_compares_with_the_caller_holds_a_user() -> None:
    found = of_policy("team = auth.uid()::text")
    assert (1, "team") in found.persons.users
    assert found.persons.owners == found.persons.compared == {(1, "team")}
    assert found.persons.checked == set()


@pytest.mark.parametrize(
    ("command", "checked"),
    [(SELECT, set()), (UPDATE, set()), (INSERT, {"owner"}), (ALL, {"owner"})],
)
def test_policy_for_insert_checks_the_owner(command: str, checked: set[str]) -> None:
    assert of_policy(CALLER, command).persons.checked == {(1, name) for name in checked}


def test_policy_for_all_commands_checks_by_its_own_expression() -> None:
    both = policy(CALLER, ALL, checked="state = 'new'")
    found = read(catalog(table("notes", "owner", "state", policies=[both])))
    assert (found.persons.owners, found.persons.checked) == ({(1, "owner")}, set())


def test_foreign_key_to_users_and_names_show_users() -> None:
    teams = table("teams", "id", oid=2)
    notes = table(
        "notes",
        "writer",
        column("user_id", "uuid"),
        column("created_by", "int8"),
        "owner_id",
        "title",
        constraints=[foreign_key("writer", "auth.users"), foreign_key("owner_id", teams)],
    )
    assert read(catalog(notes, teams)).persons.users == {(1, "writer"), (1, "user_id")}


def test_words_of_a_project_name_users() -> None:
    found = catalog(table("notes", "owned_by"))
    more = words.load().with_more({"user_columns": ["owned_by"]})
    assert read(found).persons.users == set()
    assert usage.usage(found, more).persons.users == {(1, "owned_by")}


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("team = (auth.jwt() ->> 'team_id')", "request.claims", {("team_id",): {(1, "team")}}),
        (
            "team = (auth.jwt() -> 'app_metadata' ->> 'team')",
            "request.claims",
            {("app_metadata", "team"): {(1, "team")}},
        ),
        ("(auth.jwt() ->> 'level') = 'admin'", "request.claim_literals", {("level",): ["admin"]}),
        (
            "'admin' = (auth.jwt() ->> 'level') or (auth.jwt() ->> 'level') <> 'guest'",
            "request.claim_literals",
            {("level",): ["admin", "guest"]},
        ),
        (
            "(auth.jwt() -> 'user_metadata' ->> 'vip')::boolean",
            "request.claim_literals",
            {("user_metadata", "vip"): ["true"]},
        ),
        ("(auth.jwt() -> 'app_metadata' ->> 'vip')::boolean", "request.claim_literals", {}),
        (
            "team = current_setting('request.headers')::json ->> 'x-team'",
            "request.headers",
            {"x-team": {(1, "team")}},
        ),
        (
            "current_setting('request.headers')::json ->> 'x-mode' = 'full'",
            "request.header_literals",
            {"x-mode": ["full"]},
        ),
        (
            "state = 'open' or state <> 'shut' or state = 'open'",
            "constants.literals",
            ["open", "shut"],
        ),
        ("state > 'open'", "constants.literals", []),
        ("state is null", "mentions.nulls", {(1, "state")}),
        ("state is not null", "mentions.presences", {(1, "state")}),
        ("true", "persons.users", {(1, "owner")}),
    ],
)
def test_comparison_reveals(text: str, field: str, value: Any) -> None:
    found = attrgetter(field)(of_policy(text))
    assert (found.get((1, "state")) if field == "constants.literals" else found) == value


def test_value_of_user_metadata_that_is_compared_is_no_flag() -> None:
    vip = "(auth.jwt() -> 'user_metadata' ->> 'vip')"
    found = of_policy(f"team = {vip} or {vip}::boolean")
    assert found.request.claims == {("user_metadata", "vip"): {(1, "team")}}
    assert found.request.claim_literals == {}


def test_header_that_is_hashed() -> None:
    header = "current_setting('request.headers')::json ->> 'x-api-key'"
    found = of_policy(f"team = encode(digest({header}, 'sha256'), 'hex')")
    assert found.request.headers == {"x-api-key": {(1, "team")}}
    assert list(found.request.hashing) == [(1, "team")]
    assert found.of_header((1, "team"), "abc") != "abc"
    assert found.of_header((1, "state"), "abc") == "abc"


def test_claims_and_headers_by_column() -> None:
    found = of_policy(
        "team = (auth.jwt() ->> 'team_id')"
        " and state = current_setting('request.headers')::json ->> 'x-state'"
    )
    assert found.claim_columns == {(1, "team"): ("team_id",)}
    assert found.header_columns == {(1, "state"): "x-state"}


def test_columns_that_a_policy_mentions_together() -> None:
    found = of_policy("owner = team")
    assert found.mentions.mentioned == {(1, "owner"), (1, "team")}
    assert found.mentions.together[1, "owner"] == {(1, "owner"), (1, "team")}
    assert {"owner", "team"} <= found.mentions.words
    assert "state" not in found.mentions.words


def test_policy_mentions_what_its_function_reads() -> None:
    members = table("members", "team", "person", "left_at", oid=2)
    notes = table("notes", "team", "title", policies=[policy("is_member(team)")])
    is_member = function(
        "is_member",
        "select exists (select 1 from members m where m.team = is_member.team"
        " and m.person = auth.uid()::text and m.left_at is null)",
        arguments=["team"],
    )
    found = read(catalog(notes, members, functions=[is_member]))
    assert found.mentions.mentioned == {(1, "team"), (2, "team"), (2, "person"), (2, "left_at")}
    assert found.policies.policy_functions == {(1, "policy r"): ["public.is_member(text)"]}
    assert found.reads == {1: {1, 2}, 2: {2}}
    assert found.bodies.function_reads == {100: {2}}
    assert found.bodies.arguments == {(100, "team"): [(2, "team")]}
    assert found.persons.compared == {(2, "person")}
    assert found.persons.owners == set()
    assert found.mentions.nulls == {(2, "left_at")}


@pytest.mark.parametrize(
    "body",
    [
        "select owner = auth.uid()::text and state = 'open'",
        "select $1 = auth.uid()::text and allowed.state = 'open'",
    ],
    ids=["by name", "by position and by the name of the function"],
)
def test_condition_that_was_moved_to_a_function_means_the_same(body: str) -> None:
    text = "allowed(owner, notes.state)"
    allowed = function("allowed", body, arguments=["owner", "state"])
    notes = table("notes", "owner", "state", policies=[policy(text, ALL)])
    found = read(catalog(notes, functions=[allowed]))
    moved = of_policy("owner = auth.uid()::text and state = 'open'", ALL)
    assert (found.persons.owners, found.persons.checked, found.persons.updating) == (
        {(1, "owner")},
    ) * 3
    assert (found.persons.users, found.constants.literals) == (
        moved.persons.users,
        moved.constants.literals,
    )


def test_argument_with_the_name_of_a_column_of_the_body_is_the_column() -> None:
    body = "select exists (select from seats where person = auth.uid()::text and state = 'x')"
    allowed = function("allowed", body, arguments=["state"])
    seats = table("seats", "person", "state", oid=2)
    notes = table("notes", "owner", "state", policies=[policy("allowed(state)")])
    found = read(catalog(notes, seats, functions=[allowed]))
    assert found.constants.literals == {(2, "state"): ["x"]}


def test_reads_are_transitive() -> None:
    a = table("a", "id", policies=[policy("exists (select 1 from b where b.id = a.id)")])
    b = table("b", "id", oid=2, policies=[policy("exists (select 1 from c)")])
    c = table("c", "id", oid=3)
    assert read(catalog(a, b, c)).reads == {1: {1, 2, 3}, 2: {2, 3}, 3: {3}}


def test_argument_is_compared_with_equality_only() -> None:
    notes = table("notes", "id", "title")
    larger = function("larger", "select 1 from notes where id > wanted", arguments=["wanted"])
    other = function("other", "select 1 from notes where id = title", oid=101)
    by_name = function(
        "by_name",
        "select 1 from notes n where by_name.wanted = n.id",
        oid=102,
        arguments=["wanted"],
    )
    found = read(catalog(notes, functions=[larger, other, by_name]))
    assert found.bodies.arguments == {(102, "wanted"): [(1, "id")]}


def test_functions_that_name_users() -> None:
    direct = function("direct", "select email from auth.users")
    indirect = function("indirect", "select direct()", oid=101)
    endless = function("endless", "select endless()", oid=102)
    found = read(catalog(functions=[direct, indirect, endless]))
    assert found.bodies.user_functions == {100, 101}


@pytest.mark.parametrize(
    "body",
    [
        "select auth.jwt() ->> 'team_id'",
        "select coalesce(auth.jwt() ->> 'team_id')",
        "select other()",
    ],
)
def test_function_that_returns_a_claim_is_the_claim(body: str) -> None:
    notes = table("notes", "team", policies=[policy("team = current_team()")])
    other = function("other", "select auth.jwt() ->> 'team_id'", oid=101)
    found = read(catalog(notes, functions=[function("current_team", body), other]))
    assert found.request.claims == {("team_id",): {(1, "team")}}


def test_function_that_reads_a_table_is_no_claim() -> None:
    notes = table("notes", "team", policies=[policy("team = current_team()")])
    body = "select team from notes where team = auth.jwt() ->> 'team_id' limit 1"
    found = read(catalog(notes, functions=[function("current_team", body)]))
    assert found.request.claims == {("team_id",): {(1, "team")}}  # of its own body
    without = "select upper(team) from notes where length(auth.jwt() ->> 'team_id') > 1"
    assert read(catalog(notes, functions=[function("current_team", without)])).request.claims == {}


def test_unqualified_name_prefers_public() -> None:
    private = table("private.notes", "id", oid=2)
    notes = table("notes", "id")
    lists = table("lists", "id", oid=3, policies=[policy("exists (select 1 from notes)")])
    assert read(catalog(private, notes, lists)).reads[3] == {1, 3}
    assert read(catalog(private, lists)).reads[3] == {2, 3}


def test_states_of_a_baseline_are_mentioned() -> None:
    shows = table("shows", column("published", "bool"), oid=2)
    tickets = table("tickets", "status", "deleted_at")
    found = catalog(tickets, shows)
    known = read(found)
    names = [
        "public.tickets (shows: published = true; status = paid)",
        "public.tickets (deleted_at is set)",
        "public.tickets (1 below status = gone)",
        "public.tickets (gone = 1)",
        "public.unknown (status = paid)",
    ]
    added.add_states(known, found, map(AccessObject.parse, names))
    assert known.mentions.mentioned == {(1, "status"), (1, "deleted_at"), (2, "published")}
    assert known.constants.literals == {(1, "status"): ["paid"]}
    assert known.mentions.presences == {(1, "deleted_at")}
    assert known.reads[1] == {1, 2}
    assert known.mentions.together[1, "status"] == {(1, "status"), (2, "published")}


def test_usage_of_another_database_is_added_by_name() -> None:
    text = "team = (auth.jwt() ->> 'team_id') and owner = auth.uid()::text and gone is null"
    before = catalog(
        table("notes", "team", "owner", "gone", oid=7, policies=[policy(text, ALL)]),
        table("old", "owner", oid=8, policies=[policy("owner = 'x'")]),
    )
    after = catalog(table("notes", "team", "owner"))
    found = Usage()
    added.add(found, after, read(before), before)
    assert found.request.claims == {("team_id",): {(1, "team")}}
    assert (
        found.persons.users
        == found.persons.owners
        == found.persons.checked
        == found.persons.compared
        == {(1, "owner")}
    )
    assert found.mentions.mentioned == {(1, "team"), (1, "owner")}
    assert found.mentions.nulls == set()
    assert found.constants.literals == {}
    assert found.reads == {1: {1}}


def of_trigger(
    body: str, *helpers: Function, on_insert: bool = False, definer: bool = False
) -> Usage:
    """Usage that a trigger of public.notes reveals."""
    run = replace(function("guard", body, language="plpgsql"), definer=definer)
    columns = (column("state"), column("grade", not_null=False), "owner")
    guarded = replace(
        table("notes", *columns), triggers=(100,), insert_triggers=(100,) if on_insert else ()
    )
    return read(catalog(guarded, table("locks", "id", oid=2), functions=[run, *helpers]))


_RAISES = "raise exception 'no'; end if; return new; end"


@pytest.mark.parametrize(
    ("condition", "frozen", "loose"),
    [
        ("new.state is distinct from old.state", {"state"}, set()),
        ("new.state <> old.state or new.grade != old.grade", {"state", "grade"}, {"grade"}),
        ("new.state = 'done'", set(), set()),
        ('new."grade" <> old."grade"', {"grade"}, {"grade"}),
    ],
)
def test_trigger_guards_changed_rows(condition: str, frozen: set[str], loose: set[str]) -> None:
    found = of_trigger(f"begin if {condition} then {_RAISES}")
    assert found.triggers.frozen == {(1, name) for name in frozen}
    assert found.triggers.loose == {(1, name) for name in loose}
    assert (
        of_trigger(f"begin if {condition} then {_RAISES}", on_insert=True).triggers.frozen == set()
    )
    assert (
        of_trigger(f"begin if {condition} then new.owner := 'x'; end if; end").triggers.frozen
        == set()
    )
    assert found.triggers.reserved == set()
    by_others = of_trigger(f"begin if ({condition}) and auth.uid() is not null then {_RAISES}")
    assert by_others.triggers.reserved == by_others.triggers.frozen
    helper = function("is_chief", "select auth.uid() is not null", oid=101)
    helped = of_trigger(f"begin if ({condition}) and not is_chief() then {_RAISES}", helper)
    assert helped.triggers.reserved == helped.triggers.frozen


@pytest.mark.parametrize(
    ("body", "computed"),
    [
        ("if new.grade is null then new.grade := 'a'; end if;", {"grade"}),
        ("new.grade := coalesce(new.grade, 'a');", {"grade"}),
        ('new."grade" := coalesce(new."grade", \'a\');', {"grade"}),
        ("new.grade := 'a';", set()),
        ("if new.grade = 'a' then new.state := 'b'; end if;", set()),
    ],
)
def test_trigger_computes_what_the_writer_does_not_send(body: str, computed: set[str]) -> None:
    found = of_trigger(f"begin {body} return new; end", on_insert=True)
    assert found.triggers.computed == {(1, name) for name in computed}
    assert of_trigger(f"begin {body} return new; end").triggers.computed == set()


@pytest.mark.parametrize(
    ("condition", "absent"),
    [
        ("exists (select from locks where locks.id = new.owner)", {2}),
        ("(select true from locks where locks.id = new.owner)", {2}),
        ("not exists (select from locks where locks.id = new.owner)", set()),
        ("new.state = 'done'", set()),
    ],
)
def test_trigger_looks_for_rows_that_refuse(condition: str, absent: set[int]) -> None:
    assert (
        of_trigger(f"begin if {condition} then {_RAISES}").policies.absent.get(1, set()) == absent
    )
    assert not of_trigger(f"begin if {condition} then {_RAISES}", definer=True).policies.absent.get(
        1
    )


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("not exists (select from locks where locks.id = notes.owner)", {2}),
        ("not (owner in (select id from locks))", {2}),
        ("exists (select from locks where locks.id = notes.owner)", set()),
    ],
)
def test_policy_looks_for_rows_that_refuse(text: str, absent: set[int]) -> None:
    notes = table("notes", "owner", policies=[policy(text)])
    assert read(catalog(notes, table("locks", "id", oid=2))).policies.absent.get(1, set()) == absent


def test_function_demands_a_proof_besides_the_key() -> None:
    key = Constraint(
        name="locks_pkey",
        kind="p",
        columns=("id",),
        target=None,
        target_name=None,
        target_columns=(),
        definition=None,
        deferrable=False,
    )
    text = replace(column("pin"), category="S")
    locks = table("locks", "id", text, replace(column("row", "int4"), category="N"))
    locks = replace(locks, constraints=(key,))
    asks = "select true from locks where locks.id = $1 and locks.pin = $2 and locks.row = $3"
    found = read(catalog(locks, functions=[function("opens", asks, arguments=("a", "b", "c"))]))
    assert found.secrets.proofs == {(1, "pin")}
    asks = "select true from locks where locks.pin = $1"
    found = read(catalog(locks, functions=[function("finds", asks, arguments=("a",))]))
    assert found.secrets.proofs == set()


@pytest.mark.parametrize(
    ("condition", "bearers"),
    [
        ("l.jeton = $1 and l.ends > now()", {(1, "jeton")}),
        ("l.jeton = $1 and now() < l.ends", {(1, "jeton")}),
        ("l.jeton = $1 and l.ends < now()", set()),  # what was published
        ("l.jeton = $1 and l.ends is null", set()),  # a name, until the row is deleted
        ("l.email = $1 and l.ends > now()", set()),  # others know an address
        ("l.title = $1 and l.ends > now()", set()),  # finds several
    ],
)
def test_text_that_finds_a_row_until_a_time_is_its_bearers(
    condition: str, bearers: set[tuple[int, str]]
) -> None:
    texts = [replace(column(name), category="S") for name in ("jeton", "email", "title")]
    ends = replace(column("ends", "timestamptz"), category="D")
    links = table("links", *texts, ends)
    links = replace(links, constraints=tuple(map(unique, ("jeton", "email"))))
    body = f"select true from links as l where {condition}"
    found = read(catalog(links, functions=[function("opens", body, arguments=("a",))]))
    assert found.secrets.bearers == bearers


def unique(name: str) -> Constraint:
    return Constraint(
        name=f"links_{name}_key",
        kind="u",
        columns=(name,),
        target=None,
        target_name=None,
        target_columns=(),
        definition=None,
        deferrable=False,
    )


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        ("case when n.state = 'open' then n.owner end", {"owner"}),
        ("case when n.state = 'open' then null else n.owner end", {"owner"}),
        ("case when n.owner is null then 'nobody' else n.owner end", set()),
        ("case when n.state = 'open' then n.owner else n.state end", set()),
        ("n.owner, case when n.state = 'open' then n.owner end", set()),
    ],
)
def test_function_shows_a_column_on_a_condition(shown: str, masked: set[str]) -> None:
    body = f"select {shown} from notes as n"
    found = read(catalog(table("notes", "owner", "state"), functions=[function("list", body)]))
    assert found.secrets.masked == {(1, name) for name in masked}


@pytest.mark.parametrize(
    ("condition", "demanded", "later"),
    [
        ("n.state <> 'open'", {"state": "open"}, set()),
        (
            "n.state is distinct from 'open' or n.team is not null",
            {"state": "open", "team": None},
            set(),
        ),
        ("not n.state", {"state": "true"}, set()),
        ("was <> 'open'", {"state": "open"}, set()),
        ("n.id is null or n.state < now()", {}, {"state"}),
        ("n.state < now() + interval '1 day'", {}, set()),
        ("n.state = 'closed'", {}, set()),
        ("not exists (select from other where n.state <> 'open')", {}, set()),
    ],
)
def test_function_refuses_a_row_in_a_variable(
    condition: str, demanded: dict[str, str | None], later: set[str]
) -> None:
    body = f"""
    declare n public.notes; was text;
    begin
      select * into n from notes where id = which;
      select state into was from notes where id = which;
      if {condition} then raise exception 'refused'; end if;
      if n.owner <> 'b' then n.owner := 'c'; end if;
    end"""
    called = function("f", body, language="plpgsql", arguments=("which",))
    found = read(catalog(table("notes", "id", "owner", "team", "state"), functions=[called]))
    [oid] = found.conditions.demands
    assert found.conditions.demands[oid] == {(1, name): value for name, value in demanded.items()}
    assert found.conditions.later[oid] == {(1, name) for name in later}


@pytest.mark.parametrize(
    ("row", "refusal", "demanded"),
    [
        ("public.notes", "return 'closed'", {"state": "open"}),
        ('public."notes"', "return", {"state": "open"}),
        ("public.notes", "n.state := 'open'", {}),
    ],
)
def test_function_refuses_by_an_answer(
    row: str, refusal: str, demanded: dict[str, str | None]
) -> None:
    body = f"""
    declare n {row};
    begin
      select * into n from notes where id = which;
      if n.state <> 'open' then {refusal}; end if;
    end"""
    called = function("f", body, language="plpgsql", arguments=("which",))
    found = read(catalog(table("notes", "id", "state"), functions=[called]))
    assert found.conditions.demands == {100: {(1, name): value for name, value in demanded.items()}}


@pytest.mark.parametrize(
    ("condition", "limits"),
    [
        ("(select count(*) from notes) >= n.state", {"state"}),
        ("(select n.state from notes n) <= (select count(*) from notes)", {"state"}),
        ("(select max(state) from notes) >= n.state", set()),
        ("(select count(*) from notes) >= 3", set()),
    ],
)
def test_function_compares_a_number_of_rows(condition: str, limits: set[str]) -> None:
    body = f"declare n public.notes; begin if {condition} then raise 'full'; end if; end"
    called = function("f", body, language="plpgsql")
    found = read(catalog(table("notes", "id", "state"), functions=[called]))
    assert found.conditions.capacities == {100: {(1, name) for name in limits}}


@pytest.mark.parametrize(
    ("condition", "own"),
    [
        ("n.owner <> auth.uid()::text", {"owner"}),
        ("not exists (select from other o where n.owner = auth.uid()::text)", {"owner"}),
        ("n.owner = auth.uid()::text", set()),
    ],
)
def test_function_asks_for_the_caller_in_a_variable(condition: str, own: set[str]) -> None:
    body = f"""
    declare n public.notes;
    begin
      select * into n from notes where id = which;
      if {condition} then raise exception 'refused'; end if;
    end"""
    called = function("f", body, language="plpgsql", arguments=("which",))
    tables = table("notes", "id", "owner"), table("other", "id", oid=2)
    found = read(catalog(*tables, functions=[called]))
    assert found.conditions.own == {100: {(1, name) for name in own}}


@pytest.mark.parametrize(
    ("returned", "owners"),
    [("p.id", {"owner"}), ("p.name", set())],
)
def test_function_that_finds_the_caller_returns_the_caller(returned: str, owners: set[str]) -> None:
    plain = f"select {returned} from persons p where p.id = auth.uid()::text"
    block = f"""
    declare p public.persons;
    begin
      select * into p from persons where id = auth.uid()::text;
      return {returned};
    end"""
    for language, body in (("sql", plain), ("plpgsql", block)):
        me = function("me", body, language=language)
        notes = table("notes", "owner", policies=[policy("owner = me()")])
        found = read(catalog(notes, table("persons", "id", "name", oid=2), functions=[me]))
        assert found.persons.owners == {(1, name) for name in owners}


def test_function_inserts_without_columns() -> None:
    body = "insert into notes values ('n', 'ours', 'red')"
    found = read(catalog(table("notes", "id", "owner", "team"), functions=[function("f", body)]))
    assert found.constants.inserted == {
        (1, "id"): ["n"],
        (1, "owner"): ["ours"],
        (1, "team"): ["red"],
    }


def test_function_finds_rows_without_a_value_by_null() -> None:
    body = "update notes set state = 'x' where team is not distinct from code and owner = $1"
    called = function("f", body, arguments=("who", "code"))
    found = read(catalog(table("notes", "owner", "team", "state"), functions=[called]))
    assert [*found.bodies.null_arguments.values()] == [(1, "team")]
    assert [name for _, name in found.bodies.null_arguments] == ["code"]


def test_function_compares_in_the_parts_of_a_union() -> None:
    body = """
    select n.id from notes n where n.team = which and n.state = 'open'
    union all select m.id from notes m where m.owner = which"""
    called = function("f", body, arguments=("which",))
    found = read(catalog(table("notes", "id", "owner", "team", "state"), functions=[called]))
    assert found.bodies.arguments == {(100, "which"): [(1, "team"), (1, "owner")]}
    assert found.conditions.demands == {100: {(1, "state"): "open"}}
