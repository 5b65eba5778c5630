"""The fault catalogues: `tests/verify/AREA/faults/*.toml`, and `tests/sql/faults.toml` for faults
of the SQL alone.

One table per fault, under the fault's name. The keys above the first table of a file are the
defaults of its faults:

    areas = ["structure"]     # the areas that `verify` runs

    [faults."an index dropped"]
    sql = "drop index public.idx_async_jobs_url"
    finds = ["error structure:public.async_jobs:index:idx_async_jobs_url"]
    only = ["structure"]      # these areas report nothing that is not listed

`Fault` describes all keys; `check` what they assert. Faults that have nothing in common share a
database; where that shows anything but what all of them list, each gets one of its own.
"""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity, Verification, as_sql, has_statement
from supabase_jobs.session.deadline import NO_LIMIT
from supabase_jobs.settings import FILE_NAME, Settings, load_settings
from supabase_jobs.verify.expectations import Expectations, load_expectations
from supabase_jobs.verify.tried_fixes import is_tried, try_fixes
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, major_of
from tests.programs import DEFAULT_MAJOR, EVERYTHING, MAJORS
from tests.sql.owner_limits import set_limits

REASON = "why this is intended"  # in the entries that a report prints
TESTS = Path(__file__).parents[1]
VERSIONS = {
    "all": MAJORS,
    "oldest and newest": sorted({MAJORS[0], MAJORS[-1]}),
    "default": (DEFAULT_MAJOR,),
}


@dataclass(frozen=True)
class Expected:
    """A finding that `verify` reports: its severity and id (`error plans:…`), and a text in its
    object or message.
    """

    id: str
    message: str = ""

    def matches(self, finding: Finding) -> bool:
        """Whether a finding is the expected one."""
        return (
            self.id == f"{finding.severity} {finding.id}"
            and self.message in f"{finding.object}: {finding.message}"
        )


@dataclass(frozen=True)
class Fault:
    """One entry of a catalogue.

    `sql` inserts the fault, or else `with_` (key `with`) in place of `replace` in the definition of
    `function`. `superuser` faults are inserted by a superuser. `bypass` and `allows` are names in
    `[allowed_bypasses]` and `[allowed_privileges]`: with the entries that the report prints, all
    findings are infos. `documented` faults are the sections of docs/rls-faults.md. With `chance`,
    random ids decide what other areas report. `harmless` is similar SQL that is no fault: nothing
    is reported.

    Running the fixes of all findings in their order leaves none with a fix. If no SQL can repair
    the fault, `unrepairable` gives the reason.

    `versions` are those on which it is tested; with "any" it is one version, each in turn, or that
    of the document.
    """

    name: str
    sql: str = ""
    function: str = ""
    replace: str = ""
    with_: str = ""
    areas: tuple[str, ...] = ()
    finds: tuple[Expected, ...] = ()
    only: tuple[str, ...] = ()
    unrepairable: str = ""
    superuser: bool = False
    bypass: str = ""
    harmless: str = ""
    allows: tuple[str, ...] = ()
    documented: bool = False
    chance: bool = False
    limits: Mapping[str, int | bool] = field(default_factory=dict)
    versions: str = "any"
    parts: tuple["Fault", ...] = ()  # of several that share a database

    @property
    def expectations(self) -> Expectations:
        """The expectations of a project with these limits."""
        return (
            load_expectations(Settings(Path(), variables=self.limits))
            if self.limits
            else EXPECTATIONS
        )

    def insert(self, connection: Connection) -> None:
        """Insert the fault into a database; one of `superuser` needs the connection of
        `as_postgres`.
        """
        for part in self.parts:
            part.insert(connection)
        if self.parts:
            return
        if self.limits:
            set_limits(connection, **self.limits)
        if self.superuser:
            connection.execute("reset session authorization")
            connection.execute(self.sql.encode())
            connection.execute("set local session authorization postgres")
            return
        if self.sql:
            connection.execute(self.sql.encode())
            return
        row = connection.execute(
            "select pg_get_functiondef(%s::regprocedure)", (self.function,)
        ).fetchone()
        assert row is not None
        assert self.replace in row[0], f"{self.function} does not contain {self.replace!r}"
        connection.execute(row[0].replace(self.replace, self.with_).encode())


_KEYS = {f.name.rstrip("_") for f in fields(Fault)} - {"name", "parts"}


def read(path: Path) -> list[Fault]:
    """The faults of one file."""
    with path.open("rb") as file:
        defaults = tomllib.load(file)
    faults = defaults.pop("faults")
    return [_fault(name, {**defaults, **table}) for name, table in faults.items()]


def _fault(name: str, table: dict[str, Any]) -> Fault:
    assert table.keys() <= _KEYS, f"{name}: unknown keys {sorted(table.keys() - _KEYS)}"
    assert ("sql" in table) is not ("function" in table), f"{name}: either sql or function"
    finds = table.pop("finds", ())
    table["with_"] = table.pop("with", "")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    expected = tuple(
        Expected(item) if isinstance(item, str) else Expected(**item) for item in finds
    )
    return Fault(name, finds=expected, **values)


@cache
def catalogue(area: str) -> Mapping[str, Fault]:
    """Name → fault, of the catalogue of an area of `verify`."""
    return _by_name(sorted((TESTS / "verify" / area / "faults").glob("*.toml")))


@cache
def every_catalogue() -> Mapping[str, Fault]:
    """Name → fault, of all catalogues."""
    return _by_name(
        [*sorted((TESTS / "verify").glob("*/faults/*.toml")), TESTS / "sql" / "faults.toml"]
    )


def _by_name(paths: list[Path]) -> Mapping[str, Fault]:
    faults = [fault for path in paths for fault in read(path)]
    by_name = {fault.name: fault for fault in faults}
    assert len(by_name) == len(faults), f"a name is used twice in {paths}"
    return by_name


def each_fault(area: str) -> pytest.MarkDecorator:
    """Run a test, which uses `as_postgres`, for every fault of an area on the versions of its
    entry. `together` are those that share a database with it.
    """
    cases = [
        (major, fault)
        for number, fault in enumerate(catalogue(area).values())
        # test_rls_faults.py, which is slow, tests the others
        if not (EVERYTHING and fault.documented and fault.versions == "any")
        for major in VERSIONS.get(fault.versions, (major_of(number),))
    ]
    # those that share a database come one after another, so most in one process
    values = [
        pytest.param(major, fault, group, id=f"pg{major}-{fault.name}")
        for major in MAJORS
        for group in groups([fault for version, fault in cases if version == major])
        for fault in group
    ]
    return pytest.mark.parametrize(
        ("each_major", "fault", "together"), values, indirect=["each_major"]
    )


_MOST = 6  # in a database: where one hides another, so many have one of their own


def groups(faults: Sequence[Fault]) -> list[tuple[Fault, ...]]:
    """The faults in few groups, each of which can share a database."""
    found: list[list[Fault]] = []
    for fault in faults:
        room = (g for g in found if len(g) < _MOST and _are_apart([fault, *g]))
        group = next(room, None)
        if group is None:
            found.append([fault])
        else:
            group.append(fault)
    return [tuple(group) for group in found]


def _are_apart(faults: Sequence[Fault]) -> bool:
    marks = [_marks(fault) for fault in faults]
    return all(marks) and sum(map(len, marks)) == len(frozenset().union(*marks))


def _marks(fault: Fault) -> frozenset[str]:
    """The function that a fault changes, or the kinds of objects of its findings: no other of its
    group has them. Of one that has nobody beside it, none.
    """
    alone = (
        *(fault.superuser, fault.limits, fault.harmless, fault.bypass, fault.allows),
        *(fault.unrepairable, fault.chance, fault.areas != fault.only),
    )
    if any(alone):
        return frozenset()
    ids = [expected.id for expected in fault.finds]
    if fault.areas == ("functions",) and fault.function:
        return frozenset([fault.function, *ids])
    if fault.areas == ("structure",):
        return frozenset(":".join(id.split(":")[:3]) for id in ids)
    return frozenset()


_ARE_REPORTED: dict[tuple[int, tuple[str, ...]], bool] = {}


def assert_reported_among(
    connection: Connection, fault: Fault, together: tuple[Fault, ...]
) -> None:
    """Check a fault as `assert_reported` does, once with all those that share a database with it;
    alone if these fail.
    """
    key = (connection.info.server_version, tuple(one.name for one in together))
    if key not in _ARE_REPORTED:
        _ARE_REPORTED[key] = len(together) > 1 and _are_reported(connection, together)
    if not _ARE_REPORTED[key]:
        assert_reported(connection, fault)


def _are_reported(connection: Connection, together: tuple[Fault, ...]) -> bool:
    finds = tuple(expected for fault in together for expected in fault.finds)
    whole = replace(together[0], name="", function="", finds=finds, parts=together)
    try:
        with connection.transaction(force_rollback=True):
            assert_reported(connection, whole)
    except (AssertionError, psycopg.Error):
        return False
    return True


def assert_reported(connection: Connection, fault: Fault) -> Verification:
    """Insert a fault; check what `verify` reports, with its bypass allowed, and after all fixes.

    Before that, check that nothing is reported for similar SQL that is harmless.
    """
    if fault.harmless:
        with connection.transaction(force_rollback=True):
            connection.execute(fault.harmless.encode())
            assert verify(connection, fault.expectations, fault.areas).findings == ()
    fault.insert(connection)
    # the structural findings have the fixes of the others: only theirs are run below, so only they
    # are tried first
    is_structural = "structure" in fault.areas
    result, after = (
        _tried(connection, fault, fault.areas)
        if is_structural
        else (verify(connection, fault.expectations, fault.areas, tries_fixes=False), None)
    )
    check(result, fault)
    if fault.bypass or fault.allows:
        allowed = allowing(result)
        assert {fault.bypass} - {""} <= allowed.allowed["allowed_bypasses"].keys()
        assert set(fault.allows) == allowed.allowed["allowed_privileges"].keys()
        for finding in verify(connection, allowed, fault.areas, tries_fixes=False).findings:
            assert (finding.severity, f"allowed: {REASON}" in finding.message) == (
                Severity.INFO,
                True,
            ), finding
    fixed = result
    if not is_structural:
        fixed, after = _tried(connection, fault, ("structure",))
    if fault.superuser:
        connection.execute("reset session authorization")
    run_fixes(connection, fixed)
    if fault.superuser:
        connection.execute("set local session authorization postgres")
    # an info about a user object has no fix, or is about an index that a fix has created
    repaired = {finding.id for finding in fixed.findings if finding.fix}
    assert repaired or fault.unrepairable
    assert all(_is_repaired(part, repaired) for part in fault.parts)
    # where SQL can repair the fault, the managed objects are as they were, so the other areas are
    # too
    areas = fault.areas if fault.unrepairable else ("structure",)
    if after is None or fault.unrepairable:
        after = verify(connection, fault.expectations, areas, tries_fixes=False)
    findings = [f for f in after.findings if f.area in areas]
    left = [f for f in findings if f.severity is not Severity.INFO or f.id in repaired]
    assert bool(left) is bool(fault.unrepairable), left
    return result


def _is_repaired(part: Fault, repaired: Collection[str]) -> bool:
    """Whether one of several faults has a finding of the structure with a fix."""
    if part.function:
        return any(id.startswith(f"structure:{part.function}:") for id in repaired)
    return any(expected.id.partition(" ")[2] in repaired for expected in part.finds)


def _tried(
    connection: Connection, fault: Fault, areas: Sequence[str]
) -> tuple[Verification, Verification | None]:
    """The report about a fault, its fixes tried; and the one after them, if a trial has run exactly
    the statements of the report.
    """
    trials: list[Verification] = []

    def run() -> Verification:
        return verify(connection, fault.expectations, areas, tries_fixes=False)

    def run_again() -> Verification:
        trials.append(run())
        return trials[-1]

    found = run()
    findings = tuple(try_fixes(connection, found, run_again, NO_LIMIT))
    tried = [finding.fix for finding in found.findings if is_tried(finding)]
    printed = [finding.fix for finding in findings if has_statement(finding.fix)]
    is_same = len(tried) == len(trials) == 1 and printed == tried
    return replace(found, findings=findings), trials[0] if is_same else None


def allowing(result: Verification, more: str = "") -> Expectations:
    """The expectations of a project that has pasted the entries of a report into
    supabase-jobs.toml.
    """
    entries = dict.fromkeys(entry for finding in result.findings for entry in finding.accept)
    with TemporaryDirectory() as folder:
        (Path(folder) / FILE_NAME).write_text("".join(entries) + more, encoding="utf-8")
        return replace(EXPECTATIONS, allowed=load_settings(Path(folder), {}).allowed)


def run_fixes(connection: Connection, result: Verification) -> None:
    """Run the fix of each finding in the order of the report. Each succeeds; a comment does
    nothing.
    """
    for finding in result.findings:
        assert as_sql(finding.fix) == finding.fix, (
            f"{finding.id}: psql does not accept {finding.fix!r}"
        )
        # a transaction block refuses it; test_fixes.py runs it outside
        connection.execute(finding.fix.replace(" index concurrently ", " index ").encode())


def check(result: Verification, fault: Fault) -> None:
    """Check the findings against an entry: the expected ones, and no area with a severity that the
    entry does not name.

    Each finding that is not an info has a fix, and the id begins with the area.
    """
    assert fault.finds
    for expected in fault.finds:
        assert any(map(expected.matches, result.findings)), (
            f"{expected} is not in {result.findings}"
        )
    listed = [
        finding for finding in result.findings if any(e.matches(finding) for e in fault.finds)
    ]
    assert [f for f in result.findings if f.area in fault.only and f not in listed] == []
    if not fault.chance:
        assert {(f.area, f.severity) for f in result.findings} == {
            (f.area, f.severity) for f in listed
        }
    assert all(finding.id.startswith(f"{finding.area}:") for finding in result.findings)
    assert all(finding.fix or finding.severity is Severity.INFO for finding in result.findings)
