"""Verifications as values, for the tests of reports: with findings of every severity, and with awkward texts."""

from dataclasses import replace

from supabase_jobs.findings import Case, Finding, Grid, Location, Severity, Verification

GRID = Grid(
    "public.things",
    tuple(f"action {n}" for n in range(9)),
    ("guest, its own thing", "user, a thing of somebody else", "service_role"),
    (("rows",) * 9, ("hidden",) * 8 + ("violates",), ("23514",) * 9),
    frozenset({(1, 8)}),
)
WRONG = "access:public.things:user, a thing of somebody else:action 8"
CASES = tuple(
    Case(
        f"access:public.things:{row}:{column}",
        "access",
        "public.things",
        f"{row}: {column}",
        f"-- {column}\nselect '<b>' as \"it's\";\nrollback;\n",
    )
    for row in GRID.rows
    for column in GRID.columns
)
# what no report may pass on as it is
AWKWARD = "a | b `c` <script>alert(1)</script> & \"d\" 'e' *f* _g_ ]]> \x1b[31m ￾ ñ 😀"
STRUCTURE = (
    Case(
        "structure:public.things:policy:theirs", "structure", "public.things", 'policy "theirs": for all', "select 1;"
    ),
    Case("structure:public.things:index:i|j", "structure", "public.things", 'index "i|j": btree'),
)
FINDINGS = (
    Finding(WRONG, "access", Severity.ERROR, "public.things", "user: is violates | not hidden", "fix it"),
    Finding("structure:public.things:index:i|j", "structure", Severity.ERROR, "public.things", AWKWARD, "select `1`;"),
    Finding("structure:public.things:column:more", "structure", Severity.INFO, "public.things", "is more", ""),
    Finding(
        "structure:public.things:rule:new", "structure", Severity.ERROR, "public.things", "in no migration", "drop"
    ),
    Finding("plans:unchecked", "plans", Severity.WARNING, "database", "plans was not checked: 42501", "Ask."),
)
SOURCES = {
    "public.things": Location("supabase/migrations/1_things.sql", 3),
    "public.things:i|j": Location("sql/ñ b.sql", 9),
}
OPENINGS = {"access": "-- The fixture.\nbegin;\n", "structure": "begin;\n"}
GOOD = Verification(
    (), (*STRUCTURE, *CASES), 345.6, (replace(GRID, mismatches=frozenset()),), preambles=OPENINGS, locations=SOURCES
)
BAD = replace(GOOD, findings=FINDINGS, grids=(GRID,), unchecked=("plans",), database="host:5432/db")
