"""A missing test as source text: for the pytest plugin, and for pgTAP."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from psycopg import sql

from supabase_jobs.audit.emit.folder import foreign_file
from supabase_jobs.audit.emit.recording import RowText
from supabase_jobs.audit.emit.titles import file_stem
from supabase_jobs.findings import SuiteMutant
from supabase_jobs.mutation.suite.missing import MissingTest
from supabase_jobs.outcomes import CLOSED, DENIED, HIDDEN, REFUSALS, ROWS
from supabase_jobs.session.action import printed
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.outcome import POLICY_MESSAGES, PRIVILEGE_MESSAGES
from supabase_jobs.session.savepoint import MISSING_TEST

_STANDARD_CLAIMS = {"role", "aud", "sub"}
_MAX_NAME = 90
PYTEST_FILE = "test_missing_access.py"
_PYTEST_START = '"""Tests that `supabase-jobs mutate --run` has found missing.'
_PGTAP_FILES = "missing_access_*.sql"
_PGTAP_START = "-- Tests that `supabase-jobs mutate --run` has found missing: "
# around each pgTAP test of a file: the rows of a test are gone when the next one runs
_SAVE, _UNDO = MISSING_TEST.as_text()
_PLAN = "\nselect plan({});\n"
_END = "\nrollback;\n"


def pytest_test(test: MissingTest, sentence: str) -> str:
    """A test function that uses the fixture `rls`. Its name is the same in every run."""
    attempt, texts = test.attempt, _stable(test)
    lines = [f"def {test_name(test)}(rls):", f"    # {_one_line(sentence)}"]
    for row in texts.rows:
        lines += [f"    rls.owner.execute({_literal(text)})" for text in _requests(row)]
    lines.append(f"    caller = {_caller(texts.caller)}")
    if texts.target:
        lines.append(
            f"    caller.assert_untouched({_literal(texts.target)}, by={_literal(texts.sql)})"
        )
    elif test.outcome == ROWS and attempt.verb == "truncate":
        lines.append(f"    caller.execute({_literal(texts.sql)})")
    elif test.outcome in CLOSED:
        lines.append(f"    caller.assert_{test.outcome}({_literal(texts.sql)})")
    elif test.outcome == ROWS:
        lines.append(f"    caller.assert_allowed({_literal(texts.sql)})")
    else:
        lines.append(f"    caller.assert_fails({test.outcome!r}, {_literal(texts.sql)})")
    return "\n".join(lines) + "\n"


def pgtap_test(test: MissingTest, object_: str, sentence: str) -> str:
    """A file with one pgTAP test of an object, for `supabase test db` and pg_prove."""
    _attempt, texts = test.attempt, _stable(test)
    lines = [f"-- {_one_line(sentence)}"]
    for row in texts.rows:
        lines += [f"{text};" for text in _requests(row)]
    if texts.target:
        lines.append(f"create temporary table before_the_test as {texts.target};")
    for name, value in texts.caller.all_settings().items():
        lines.append(f"set local {sql.Identifier(name).as_string(None)} to {_quoted(value)};")
    lines.append(f"set local role {texts.caller.role};")
    title = _quoted(test.title)
    if texts.target:
        body = (
            f"begin execute {_quoted(texts.sql)}; exception when"
            " insufficient_privilege then null; end"
        )
        lines += [f"do {_quoted(body)};", "reset role;"]
        compared = "select * from before_the_test"
        lines.append(f"select set_eq({_quoted(texts.target)}, {_quoted(compared)}, {title});")
    else:
        lines.append(f"select {_pgtap_assertion(test, texts.sql)}, {title});")
    return _pgtap_file(object_, ["\n".join(lines) + "\n"])


def _pgtap_file(object_: str, tests: Sequence[str], old: str = "") -> str:
    """A file with these tests after the old ones.

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
    return "".join([before, *(f"\n{_SAVE}\n{test}{_UNDO}\n" for test in tests), end, after])


def _pgtap_tests(text: str) -> list[str]:
    """The tests of a file, from behind their savepoint to their rollback."""
    parts = f"\n{text}".split(f"\n{_SAVE}\n")[1:]
    return [f"{part}\n".partition(f"\n{_UNDO}\n")[0] + "\n" for part in parts]


def _pgtap_heading(object_: str) -> str:
    return f"{_PGTAP_START}{_one_line(object_)}"


def test_name(test: MissingTest) -> str:
    """A name for the function or file of a test."""
    kept = (c if c.isascii() and (c.isalnum() or c == "_") else " " for c in test.title.lower())
    words = "_".join("".join(kept).split()).strip("_")
    return f"test_{words}"[:_MAX_NAME].rstrip("_")


test_name.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


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
    if added := _distinct(
        (m.tests["pytest"] for m in given), [f"def {text}" for text in _functions(old)]
    ):
        found[PYTEST_FILE] = _pytest_file(old, added)
    files = {
        text.partition("\n")[0]: name
        for name, text in earlier.items()
        if _PLAN.format(len(_pgtap_tests(text))) in text and _END in text
    }
    known = list(chain.from_iterable(map(_pgtap_tests, earlier.values())))
    for object_ in dict.fromkeys(m.object for m in given):
        tests = chain.from_iterable(
            _pgtap_tests(m.tests["pgtap"]) for m in given if m.object == object_
        )
        if added := _distinct(tests, known):
            known += added
            name = files.get(_pgtap_heading(object_)) or _free_name(
                object_, earlier.keys() | found.keys()
            )
            found[name] = _pgtap_file(object_, added, earlier.get(name, ""))
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


def _free_name(object_: str, taken: Iterable[str]) -> str:
    """A name for the file of an object."""
    before, after = _PGTAP_FILES.split("*")
    stems = {name.removeprefix(before).removesuffix(after) for name in taken}
    return f"{before}{file_stem(object_, stems)}{after}"


def _pytest_file(old: str, tests: Iterable[str]) -> str:
    """A file with these functions after the old ones, each with a name of its own."""
    names = {text.partition("(")[0] for text in _functions(old)}
    parts = [old or f'{_PYTEST_START}"""\n']
    for text in tests:
        first = text[len("def ") : text.index("(")]
        name, numbers = first, count(2)
        while name in names:
            name = f"{first}_{next(numbers)}"
        names.add(name)
        parts.append(text.replace(f"def {first}(", f"def {name}(", 1))
    return "\n\n".join(parts)


def _functions(text: str) -> list[str]:
    """The functions of a file, each from its name on."""
    return f"\n{text}".split("\ndef ")[1:]


def _distinct(tests: Iterable[str], known: Iterable[str]) -> list[str]:
    """The tests, each once, without the known ones: they may differ in their comment, which names
    the fault.
    """
    kept = dict.fromkeys(map(_code, known), "")
    for text in tests:
        kept.setdefault(_code(text), text)
    return [text for text in kept.values() if text]


def _code(text: str) -> str:
    """A test without its comments and the name of its function."""
    return "\n".join(
        line
        for line in text.splitlines()
        if line and not line.lstrip().startswith(("#", "--", "def "))
    )


def _pgtap_assertion(test: MissingTest, text: str) -> str:
    """The start of the call, without its description."""
    if test.outcome == HIDDEN or test.with_fault == HIDDEN:
        function = "is_empty" if test.outcome == HIDDEN else "isnt_empty"
        if test.outcome not in (HIDDEN, ROWS):
            return _throws(test, text)
        if test.attempt.verb in ("update", "delete"):
            # a test's text
            text = f"with changed as ({text} returning 1) select 1 from changed"  # noqa: S608
        return f"{function}({_quoted(text)}"
    if test.outcome == ROWS:
        return f"lives_ok({_quoted(text)}"
    return _throws(test, text)


def _throws(test: MissingTest, statement: str) -> str:
    text = _quoted(statement)
    if test.outcome in REFUSALS and test.with_fault in REFUSALS:
        if test.outcome == DENIED:
            return f"throws_like({text}, {_quoted(PRIVILEGE_MESSAGES)}"
        return f"throws_matching({text}, {_quoted(POLICY_MESSAGES)}"
    code = "42501" if test.outcome in REFUSALS else test.outcome
    return f"throws_ok({text}, {_quoted(code)}, null"


def _requests(row: RowText) -> list[str]:
    """The insertion, between the settings of a request that a trigger reads."""
    made = [
        f"set local {sql.Identifier(name).as_string(None)} to {_quoted(value)}"
        for name, value in row.settings
    ]
    reset = [f"set local {sql.Identifier(name).as_string(None)} to ''" for name, _ in row.settings]
    return [*made, row.sql, *reset]


def _caller(caller: Caller) -> str:
    claims = dict(caller.claims or {})
    more = f"headers={dict(caller.headers)!r}" if caller.headers else ""
    if caller.role == "anon":
        return f"rls.as_anon({more})"
    extra = {name: value for name, value in claims.items() if name not in _STANDARD_CLAIMS}
    if "sub" not in claims:
        extra_text = ", ".join(
            part for part in (f"claims={extra!r}" if extra else "", more) if part
        )
        return f"rls.as_role({caller.role!r}{', ' if extra_text else ''}{extra_text})"
    parts = [repr(claims["sub"]), f"claims={extra!r}" if extra else "", more]
    return f"rls.as_user({', '.join(part for part in parts if part)})"


@dataclass(frozen=True)
class _Texts:
    """The parts of a test as text."""

    rows: tuple[RowText, ...]
    caller: Caller
    sql: str
    target: str


def _stable(test: MissingTest) -> _Texts:
    """The texts with ids and tokens that are the same in every run; their order remains."""
    showing = test.showing
    rows = [row.text() for row in test.rows]
    statement = showing.action.test()
    target = "" if showing.target is None else printed(showing.target)
    values = [statement, target, str(test.attempt.caller), *(row.sql for row in rows)]
    values += [value for row in rows for _, value in row.settings]
    whole = "\n".join(values)
    ids = sorted(id for id in test.generated.ids if id in whole)
    tokens = sorted(token for token in test.generated.tokens if token in whole)
    names = {id: f"00000000-0000-4000-8000-{i:012d}" for i, id in enumerate(ids, 1)}
    names |= {token: f"{token[:3]}{i:06d}" for i, token in enumerate(tokens, 1)}

    def stable(text: str) -> str:
        for value, name in names.items():
            text = text.replace(value, name)
        return text

    def stable_row(row: RowText) -> RowText:
        return RowText(stable(row.sql), tuple((name, stable(v)) for name, v in row.settings))

    caller = test.attempt.caller.mapped(stable)
    return _Texts(tuple(map(stable_row, rows)), caller, stable(statement), stable(target))


def _quoted(text: str) -> str:
    return sql.Literal(text).as_string(None).removeprefix(" ")


def _literal(text: str) -> str:
    """A Python literal of SQL; in three quotes if that needs no escape."""
    if "\\" in text or '"""' in text or text.endswith('"'):
        return repr(text)
    return f'"""{text}"""'


def _one_line(text: str) -> str:
    return " ".join(text.split())
