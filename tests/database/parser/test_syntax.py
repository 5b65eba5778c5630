"""Properties of statements that create a part of a table."""

import pytest

from supabase_jobs.database.parser import syntax


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        (
            'create policy "a for b" on public.t as permissive for select to anon, "my role"'
            " using (true);",
            ("select", ("anon", "my role")),
        ),
        (
            "create policy p on public.t as restrictive for all to public with check (a > 1);",
            ("all", ("public",)),
        ),
        ("drop policy p on public.t;", None),
        ("create policy p on", None),
    ],
)
def test_command_and_roles_of_a_policy(
    text: str, scope: tuple[str, tuple[str, ...]] | None
) -> None:
    assert syntax.policy_scope(text) == scope


@pytest.mark.parametrize(
    ("text", "table"),
    [
        (
            "alter table public.a add constraint k foreign key (x) references other.b(id)"
            " not valid;\nalter table public.a validate constraint k;",
            "other.b",
        ),
        ("alter table public.a add constraint k check (x = 'references public.b(');", None),
        ("alter table public.a enable row level security;", None),
    ],
)
def test_table_of_a_foreign_key(text: str, table: str | None) -> None:
    assert syntax.referenced_table(text) == table


def test_columns_of_an_index_end_at_an_expression() -> None:
    text = "create index i on public.t using btree (a, b desc, lower(c), d) where a > 1;"
    assert syntax.index_columns(text) == ("a", "b")
    assert syntax.index_columns("select 1") == ()


def test_language_of_a_function_and_whether_it_replaces_another() -> None:
    [function] = syntax.functions(
        "create or replace function s.f() returns int language plpgsql as 'begin end'"
    ).values()
    assert (function.language, function.replaces) == ("plpgsql", True)
    [function] = syntax.functions(
        "create function s.f() returns int return 1; create function s.g() returns int as 'select 1'"
    ).values()
    assert (function.language, function.replaces) == ("sql", False)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("select 1 from public.t where private.f(id) = 'other.name'", {"public.t", "private.f"}),
        ("comment on column public.t.a is 'of public.u'", {"public.t"}),
        ('alter table "public"."T" owner to postgres', {"public.T"}),
        (
            "create trigger t before insert on public.t execute function private.f()",
            {"public.t", "private.f"},
        ),
        ("grant execute on function public.f(private.kind) to anon", {"public.f", "private.kind"}),
        ("alter table t alter a set default nextval('public.s'::regclass)", {"public.s"}),
        ("select 'public.f(integer)'::regprocedure, 'public.t'::text", {"public.f"}),
    ],
)
def test_names_with_a_schema(text: str, names: set[str]) -> None:
    assert set(syntax.qualified_names(syntax.parse(text))) == names
