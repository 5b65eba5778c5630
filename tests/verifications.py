"""Verifications for the tests of reports: findings of every severity, and texts with markup."""

from dataclasses import replace

from supabase_jobs.findings import Case, Finding, Grid, Id, Location, Severity, Verification

GRID = Grid(
    "public.things",
    tuple(f"action {n}" for n in range(9)),
    ("guest, its own thing", "user, a thing of somebody else", "service_role"),
    (("rows",) * 9, ("hidden",) * 8 + ("violates",), ("23514",) * 9),
    frozenset({(1, 8)}),
)
MISMATCH = "access:public.things:user, a thing of somebody else:action 8"
CASES = tuple(
    Case(
        Id("access", "public.things", row, column),
        "access",
        "public.things",
        f"{row}: {column}",
        f"-- {column}\nselect '<b>' as \"it's\";\nrollback;\n",
    )
    for row in GRID.rows
    for column in GRID.columns
)
# every report must escape it
MARKUP = "a | b `c` <script>alert(1)</script> & \"d\" 'e' *f* _g_ ]]> \x1b[31m ￾ ñ 😀"
STRUCTURE = (
    Case(
        Id("structure", "public.things", "policy", "readers"),
        "structure",
        "public.things",
        'policy "readers": for all',
        "select 1;",
    ),
    Case(
        Id("structure", "public.things", "index", "i|j"),
        "structure",
        "public.things",
        'index "i|j": btree',
    ),
)
FINDINGS = (
    Finding(
        Id(*MISMATCH.split(":")),
        "access",
        Severity.ERROR,
        "public.things",
        "user: is violates | not hidden",
        "fix it",
    ),
    Finding(
        Id("structure", "public.things", "index", "i|j"),
        "structure",
        Severity.ERROR,
        "public.things",
        MARKUP,
        "select `1`;",
    ),
    Finding(
        Id("structure", "public.things", "column", "more"),
        "structure",
        Severity.INFO,
        "public.things",
        "is more",
        "",
    ),
    Finding(
        Id("structure", "public.things", "rule", "new"),
        "structure",
        Severity.ERROR,
        "public.things",
        "in no migration",
        "drop",
    ),
    Finding(
        Id("plans", "unchecked"),
        "plans",
        Severity.WARNING,
        "database",
        "plans was not checked: 42501",
        "Ask.",
    ),
)
LOCATIONS = {
    "public.things": Location("supabase/migrations/1_things.sql", 3),
    "public.things:i|j": Location("sql/ñ b.sql", 9),
}
PREAMBLES = {"access": "-- The fixture.\nbegin;\n", "structure": "begin;\n"}
GOOD = Verification(
    (),
    (*STRUCTURE, *CASES),
    345.6,
    (replace(GRID, mismatches=frozenset()),),
    preambles=PREAMBLES,
    locations=LOCATIONS,
)
BAD = replace(GOOD, findings=FINDINGS, grids=(GRID,), unchecked=("plans",), database="host:5432/db")
_REASON = "no index matters here"
ACCEPTED = replace(
    BAD,
    findings=(
        *FINDINGS[:-1],
        replace(
            FINDINGS[-1],
            severity=Severity.INFO,
            message=f"{FINDINGS[-1].message}; accepted: {_REASON}",
        ),
    ),
    unchecked=(),
    accepted_unchecked={"plans:unchecked": _REASON},
)
