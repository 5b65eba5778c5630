"""Audits for the tests of reports: leaks, changes, notes, views, functions, and texts with markup."""

from dataclasses import replace

from supabase_jobs.findings import (
    BASELINE,
    AccessCaller,
    AccessObject,
    AccessSummary,
    Audit,
    AuditCell,
    AuditFinding,
    Id,
    Location,
    NotTested,
    Permission,
    Severity,
)
from tests.verifications import MARKUP

NOTES, PAGES = AccessObject("public.notes"), AccessObject("public.pages")
FIX = 'alter policy "all" on "public"."notes" using ("user_id" = (select auth.uid()));'
LEAK = AuditFinding(
    id=Id("write", "public.notes", "update"),
    severity=Severity.ERROR,
    object="public.notes",
    message="Anyone can change other users' rows",
    fix=FIX,
    cause='policy "all"',
    policies=("all",),
    kind="write",
)
CHANGE = AuditFinding(
    id=Id("baseline", "public.notes", "anon", "read", "wider"),
    severity=Severity.ERROR,
    object="public.notes",
    message="anon: read is allowed; it was not",
    fix=f"-- If this is intended: supabase-jobs audit --update-baseline\n{FIX}",
    cause='policy "all"',
    policies=("all",),
    kind=BASELINE,
)
NOTE = AuditFinding(
    id=Id("read", "public.pages", "select"),
    severity=Severity.INFO,
    object="public.pages",
    message=MARKUP,
    fix="select `1`;",
    cause=MARKUP,
    kind="read",
)


def _cell(name: str, caller: str, whose: str, action: str, detail: str) -> AuditCell:
    does = f"{action} {detail}" if detail else action
    return AuditCell(
        object=name,
        caller=caller,
        whose=whose,
        action=action,
        detail=detail,
        outcome="rows" if action == "select" else "hidden",
        sql=f"{does} '<b>' as \"it's\";\n",
        request=f"curl '<{does}>'",
    )


_ACTIONS = (
    ("select", ""),
    ("insert", ""),
    ("update", "title"),
    ("update", "body"),
    ("delete", ""),
)
CELLS = tuple(
    _cell(name, caller, whose, action, detail)
    for name in ("public.notes", "public.pages")
    for caller, whose in (("anon", "other"), ("stranger", "other"), ("owner", "own"))
    for action, detail in _ACTIONS
)
VIEW = AuditCell(
    "public.list", "anon", "other", "select", "rows", "select from list;\n", "curl list"
)
EXISTS = AuditCell(
    "public.f(uuid)", "anon", "other", "exists", "hidden", "select exists f;\n", "curl rpc/f2"
)
CALL = AuditCell(
    "public.f(uuid)", "anon", "other", "call", "rows", "select public.f(null);\n", "curl rpc/f"
)
GOOD = Audit(
    (),
    (*CELLS, VIEW, CALL, EXISTS),
    (
        AccessSummary(
            NOTES, {"select": "all", "insert": "own", "update": "users", "delete": "own"}
        ),
        AccessSummary(
            PAGES,
            {"select": "group", "insert": "none", "update": "none", "delete": "none"},
        ),
    ),
    (),
    2,
    2,
    345.6,
    access={
        AccessObject("public.list"): {
            AccessCaller("anon"): frozenset({Permission("read")}),
            AccessCaller("stranger"): frozenset(),
        },
        NOTES: {},
        PAGES: {},
    },
    functions={"public.f(uuid)": ("anon", "authenticated")},
    callers={"anon": "-- As anon:\nselect 1;\n", "stranger": "-- As <b>:\nselect 2;\n"},
    locations={
        "public.notes": Location("supabase/migrations/1_notes.sql", 3),
        "public.notes:all": Location("supabase/migrations/1_notes.sql", 9),
    },
    database="host:5432/db",
)
BAD = replace(
    GOOD,
    findings=(LEAK, CHANGE, NOTE),
    summaries=(replace(GOOD.summaries[0], leaks=frozenset({"update"})), GOOD.summaries[1]),
    not_tested=(
        NotTested("public.odd", "a CHECK constraint: " + MARKUP, "Add a row to audit.toml."),
    ),
    baseline="supabase/access.toml",
)


def large(tables: int) -> Audit:
    """An audit of many tables, each with a leak."""
    names = [f"public.table_with_a_long_name_{n}" for n in range(tables)]
    return replace(
        BAD,
        findings=tuple(
            replace(LEAK, id=Id("write", name, "update"), object=name, fix=f"select '{name}';")
            for name in names
        ),
        summaries=tuple(
            replace(GOOD.summaries[0], object=AccessObject(name), leaks=frozenset({"update"}))
            for name in names
        ),
        cells=tuple(replace(cell, object=name) for name in names for cell in CELLS[:15]),
        tables=tables,
        planted=tables,
    )
