"""A missing test for the pytest plugin, and for pgTAP."""

from dataclasses import dataclass, replace

from supabase_jobs.audit.emit import source
from supabase_jobs.audit.emit.recording import RowText
from supabase_jobs.findings import SuiteTest
from supabase_jobs.mutation.suite.files import pgtap_file, pytest_function
from supabase_jobs.mutation.suite.missing import MissingTest
from supabase_jobs.outcomes import CLOSED, DENIED, HIDDEN, REFUSALS, ROWS
from supabase_jobs.session.action import printed
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.outcome import POLICY_MESSAGES, PRIVILEGE_MESSAGES

_STANDARD_CLAIMS = {"role", "aud", "sub"}
_MAX_NAME = 90


def pytest_test(test: MissingTest, sentence: str) -> SuiteTest:
    """A test function that uses the fixture `rls`. Its name is the same in every run."""
    texts = _stable(test)
    inserted = (text for row in texts.rows for text in source.insertion(row))
    lines = [f"rls.owner.execute({_python(text)})" for text in inserted]
    lines += [f"caller = {_caller(texts.caller)}", f"caller.{_pytest_assertion(test, texts)}"]
    code = "".join(f"    {line}\n" for line in lines)
    found = SuiteTest(name=test_name(test), comment=source.one_line(sentence), code=code)
    return replace(found, text=pytest_function(found, found.name))


def _pytest_assertion(test: MissingTest, texts: "_Texts") -> str:
    """The method of a caller with its arguments."""
    statement = _python(texts.sql)
    if texts.target:
        return f"assert_untouched({_python(texts.target)}, by={statement})"
    if test.outcome == ROWS and test.attempt.verb == "truncate":
        return f"execute({statement})"
    if test.outcome in CLOSED:
        return f"assert_{test.outcome}({statement})"
    if test.outcome == ROWS:
        return f"assert_allowed({statement})"
    return f"assert_fails({test.outcome!r}, {statement})"


def pgtap_test(test: MissingTest, object_: str, sentence: str) -> SuiteTest:
    """A pgTAP test of an object; a report prints it as a file of its own."""
    texts = _stable(test)
    lines = [text for row in texts.rows for text in source.insertion(row)]
    if texts.target:
        lines.append(f"create temporary table before_the_test as {texts.target}")
    lines += [source.setting(name, value) for name, value in texts.caller.all_settings().items()]
    lines.append(f"set local role {texts.caller.role}")
    title = source.literal(test.title)
    if texts.target:
        body = (
            f"begin execute {source.literal(texts.sql)}; exception when"
            " insufficient_privilege then null; end"
        )
        lines += [f"do {source.literal(body)}", "reset role"]
        queries = map(source.literal, (texts.target, "select * from before_the_test"))
        lines.append(f"select set_eq({', '.join(queries)}, {title})")
    else:
        lines.append(f"select {_pgtap_assertion(test, texts.sql)}, {title})")
    code = "".join(f"{line};\n" for line in lines)
    found = SuiteTest(name=test.title, comment=source.one_line(sentence), code=code)
    return replace(found, text=pgtap_file(object_, [found]))


def test_name(test: MissingTest) -> str:
    """A name for the function or file of a test."""
    kept = (c if c.isascii() and (c.isalnum() or c == "_") else " " for c in test.title.lower())
    words = "_".join("".join(kept).split()).strip("_")
    return f"test_{words}"[:_MAX_NAME].rstrip("_")


test_name.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


def _pgtap_assertion(test: MissingTest, text: str) -> str:
    """The start of the call, without its description."""
    if test.outcome == HIDDEN or test.with_fault == HIDDEN:
        function = "is_empty" if test.outcome == HIDDEN else "isnt_empty"
        if test.outcome not in (HIDDEN, ROWS):
            return _throws(test, text)
        if test.attempt.verb in ("update", "delete"):
            # a test's text
            text = f"with changed as ({text} returning 1) select 1 from changed"  # noqa: S608
        return f"{function}({source.literal(text)}"
    if test.outcome == ROWS:
        return f"lives_ok({source.literal(text)}"
    return _throws(test, text)


def _throws(test: MissingTest, statement: str) -> str:
    text = source.literal(statement)
    if test.outcome in REFUSALS and test.with_fault in REFUSALS:
        if test.outcome == DENIED:
            return f"throws_like({text}, {source.literal(PRIVILEGE_MESSAGES)}"
        return f"throws_matching({text}, {source.literal(POLICY_MESSAGES)}"
    code = "42501" if test.outcome in REFUSALS else test.outcome
    return f"throws_ok({text}, {source.literal(code)}, null"


def _caller(caller: Caller) -> str:
    claims, headers = dict(caller.claims or {}), caller.headers
    if caller.role == "anon":
        return source.python_call("rls.as_anon", headers=headers)
    extra = {name: value for name, value in claims.items() if name not in _STANDARD_CLAIMS}
    if "sub" not in claims:
        return source.python_call("rls.as_role", repr(caller.role), claims=extra, headers=headers)
    return source.python_call("rls.as_user", repr(claims["sub"]), claims=extra, headers=headers)


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


def _python(text: str) -> str:
    """A literal of SQL in Python: in three quotes, as it may have quotes of both kinds."""
    return source.in_three_quotes(text) or repr(text)
