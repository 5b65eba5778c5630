"""The files of missing tests: one for pytest, and a pgTAP file for each table, view or function.

A test comes as a value. Only the files of earlier runs are read.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from supabase_jobs.audit.emit.folder import foreign_file
from supabase_jobs.audit.emit.source import one_line
from supabase_jobs.audit.emit.titles import file_stem
from supabase_jobs.findings import SuiteMutant, SuiteTest
from supabase_jobs.session.savepoint import MISSING_TEST

PYTEST_FILE = "test_missing_access.py"
_PYTEST_START = '"""Tests that `supabase-jobs mutate --run` has found missing.'
_PGTAP_FILES = "missing_access_*.sql"
_PGTAP_START = "-- Tests that `supabase-jobs mutate --run` has found missing: "
# around each pgTAP test of a file: the rows of a test are gone when the next one runs
_SAVE, _UNDO = MISSING_TEST.as_text()
_PLAN = "\nselect plan({});\n"
_END = "\nrollback;\n"


def add_to(folder: Path, mutants: Iterable[SuiteMutant]) -> dict[str, str]:
    """File name → text that adds the tests of mutants to those that a folder has.

    One file for pytest, and one pgTAP file for each table, view or function: a file costs a
    connection. Nothing is removed: the tests of an earlier run may be the reason that a fault
    survives no more. Raises ConfigError (2) if another program wrote a file of this name.
    """
    given = [mutant for mutant in mutants if mutant.tests]
    earlier = earlier_tests(folder)
    old = earlier.pop(PYTEST_FILE, "")
    found = {}
    known = set(map(_code, _functions(old).values()))
    if added := _new((m.tests["pytest"] for m in given), known):
        found[PYTEST_FILE] = _pytest_file(old, added)
    files = {
        text.partition("\n")[0]: name
        for name, text in earlier.items()
        if _PLAN.format(len(_pgtap_tests(text))) in text and _END in text
    }
    known = {_code(test) for text in earlier.values() for test in _pgtap_tests(text)}
    for object_ in dict.fromkeys(m.object for m in given):
        tests = (m.tests["pgtap"] for m in given if m.object == object_)
        if added := _new(tests, known):
            name = files.get(_pgtap_heading(object_)) or _free_name(
                object_, earlier.keys() | found.keys()
            )
            found[name] = pgtap_file(object_, added, earlier.get(name, ""))
    return found


def earlier_tests(folder: Path) -> dict[str, str]:
    """File name → text of the tests that earlier runs wrote. Raises ConfigError (2) if one is
    another file.
    """
    paths = [folder / PYTEST_FILE, *sorted(folder.glob(_PGTAP_FILES))]
    texts = {path: path.read_text("utf-8", "replace") for path in paths if path.exists()}
    for path, text in texts.items():
        if text and not text.startswith((_PYTEST_START, _PGTAP_START)):
            raise foreign_file(path, "mutate --run COMMAND --tests DIR")
    return {path.name: text for path, text in texts.items()}


def _new(tests: Iterable[SuiteTest], known: set[str]) -> list[SuiteTest]:
    """The tests whose code is not known, each once; their code is known from now on. Their comments
    may differ: they name the fault.
    """
    found = []
    for test in tests:
        code = _code(test.code)
        if code not in known:
            known.add(code)
            found.append(test)
    return found


def _code(text: str) -> str:
    """A test without comments and empty lines, which users add to files."""
    lines = (line for line in text.splitlines() if line)
    return "\n".join(line for line in lines if not line.lstrip().startswith(("#", "--")))


# -------------------------------------------------------------------------------------------------
# pytest


def pytest_function(test: SuiteTest, name: str) -> str:
    """The test as a function of this name."""
    return f"def {name}(rls):\n    # {test.comment}\n{test.code}"


def _pytest_file(old: str, tests: Iterable[SuiteTest]) -> str:
    """A file with these functions after the old ones, each with a name of its own."""
    names = set(_functions(old))
    parts = [old or f'{_PYTEST_START}"""\n']
    for test in tests:
        name, numbers = test.name, count(2)
        while name in names:
            name = f"{test.name}_{next(numbers)}"
        names.add(name)
        parts.append(pytest_function(test, name))
    return "\n\n".join(parts)


def _functions(text: str) -> dict[str, str]:
    """Name → body of the functions of a file."""
    found = {}
    for part in f"\n{text}".split("\ndef ")[1:]:
        first, _, body = part.partition("\n")
        found[first.partition("(")[0]] = body
    return found


# -------------------------------------------------------------------------------------------------
# pgTAP


def pgtap_file(object_: str, tests: Sequence[SuiteTest], old: str = "") -> str:
    """A file with these tests after the old ones, for `supabase test db` and pg_prove.

    A test is undone, and the counters of `finish` with it: the plan shows whether a test is
    missing.
    """
    start = (
        f"{_pgtap_heading(object_)}\nbegin;\ncreate extension if not exists"
        f" pgtap;{_PLAN.format(0)}{_END}"
    )
    before, end, after = (old or start).rpartition(_END)
    number = len(_pgtap_tests(before))
    before = before.replace(_PLAN.format(number), _PLAN.format(number + len(tests)), 1)
    added = (f"\n{_SAVE}\n-- {test.comment}\n{test.code}{_UNDO}\n" for test in tests)
    return "".join([before, *added, end, after])


def _pgtap_tests(text: str) -> list[str]:
    """The tests of a file, from behind their savepoint to their rollback."""
    parts = f"\n{text}".split(f"\n{_SAVE}\n")[1:]
    return [f"{part}\n".partition(f"\n{_UNDO}\n")[0] + "\n" for part in parts]


def _pgtap_heading(object_: str) -> str:
    return f"{_PGTAP_START}{one_line(object_)}"


def _free_name(object_: str, taken: Iterable[str]) -> str:
    """A name for the file of an object."""
    before, after = _PGTAP_FILES.split("*")
    stems = {name.removeprefix(before).removesuffix(after) for name in taken}
    return f"{before}{file_stem(object_, stems)}{after}"
