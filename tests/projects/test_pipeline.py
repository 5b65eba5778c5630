"""The conversation of pg_dump with a database: what is sent early, and which answer it gets. Without a
database.
"""

import struct

import pytest

from supabase_jobs.projects.pipeline import Pipeline, split


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def query(text: str) -> bytes:
    return message(b"Q", text.encode() + b"\0")


def ready(status: bytes = b"I") -> bytes:
    return message(b"Z", status)


def done(tag: bytes) -> bytes:
    return message(b"C", tag + b"\0")


FIRST, SECOND, OTHER = "EXECUTE f('1')", "EXECUTE f('2')", "EXECUTE g('1')"


def test_messages_are_split_across_blocks() -> None:
    whole = query("select 1") + ready()
    buffer = bytearray()
    found: list[bytes] = []
    for byte in whole:
        buffer.append(byte)
        found += split(buffer)
    assert (found, buffer) == ([query("select 1"), ready()], bytearray())


def test_messages_of_the_start_pass() -> None:
    pipeline = Pipeline()
    assert pipeline.asked(message(b"p", b"secret")) == (message(b"p", b"secret"), b"")
    for part in (message(b"R", b"\0\0\0\0"), message(b"S", b"a\0b\0"), ready()):
        assert pipeline.answered(part) == part


@pytest.mark.parametrize(
    ("text", "tag", "status"),
    [
        ("SET lock_timeout = 0", b"SET", b"I"),
        ("BEGIN", b"BEGIN", b"T"),
        ("PREPARE f(oid) AS select 1", b"PREPARE", b"I"),
    ],
)
def test_a_setting_is_answered_at_once(text: str, tag: bytes, status: bytes) -> None:
    pipeline = Pipeline()
    assert pipeline.asked(query(text)) == (query(text), done(tag) + ready(status))
    assert pipeline.asked(query("select 1")) == (query("select 1"), b"")
    # of the setting, which has its answer; a parameter that it changes is told
    assert pipeline.answered(done(tag)) == b""
    changed = message(b"S", b"DateStyle\0ISO\0")
    assert pipeline.answered(changed) == changed
    assert pipeline.answered(ready(status)) == b""
    for part in (message(b"D", b"row"), done(b"SELECT 1"), ready(status)):
        assert pipeline.answered(part) == part


@pytest.mark.parametrize("text", ["set client_encoding to 'UTF8'", "LOCK TABLE public.a"])
def test_other_statements_are_waited_for(text: str) -> None:
    pipeline = Pipeline()
    assert pipeline.asked(query(text)) == (query(text), b"")
    assert pipeline.answered(ready()) == ready()


def test_the_status_is_that_of_the_database() -> None:
    pipeline = Pipeline()
    pipeline.asked(query("select 1"))
    pipeline.answered(ready(b"T"))
    assert pipeline.asked(query("SET a = 1"))[1] == done(b"SET") + ready(b"T")


def test_questions_that_begin_alike_are_sent_together() -> None:
    pipeline = Pipeline([FIRST, SECOND, OTHER])
    assert pipeline.asked(query(FIRST)) == (query(FIRST) + query(SECOND), b"")
    answers = [message(b"D", b"first") + ready(), message(b"D", b"second") + ready()]
    assert b"".join(map(pipeline.answered, split(bytearray(answers[0])))) == answers[0]
    assert b"".join(map(pipeline.answered, split(bytearray(answers[1])))) == b""
    assert pipeline.asked(query(SECOND)) == (b"", answers[1])
    # an answer is given once; the questions ahead are sent once
    assert pipeline.asked(query(SECOND)) == (query(SECOND), b"")


def test_a_question_may_be_asked_while_its_answer_is_on_its_way() -> None:
    pipeline = Pipeline([FIRST, SECOND])
    pipeline.asked(query(FIRST))
    pipeline.answered(ready())
    assert pipeline.answered(message(b"D", b"second")) == b""
    assert pipeline.asked(query(SECOND)) == (b"", b"")
    assert pipeline.answered(ready()) == message(b"D", b"second") + ready()


ERROR = message(b"E", b"SERROR\0\0")


@pytest.mark.parametrize("text", ["SET a = 1", FIRST])
def test_an_error_that_nobody_waits_for_answers_the_next_question(text: str) -> None:
    pipeline = Pipeline([FIRST, SECOND])
    pipeline.asked(query(text))
    if text == FIRST:
        assert pipeline.answered(ready(b"T")) == ready(b"T")
    assert pipeline.answered(ERROR) == b""
    assert pipeline.answered(ready(b"E")) == b""
    for later in (OTHER, SECOND):
        assert pipeline.asked(query(later)) == (b"", ERROR + ready(b"E"))


def test_an_error_before_the_awaited_answer_takes_its_place() -> None:
    pipeline = Pipeline()
    pipeline.asked(query("SET a = 1"))
    pipeline.asked(query("select 1"))
    assert pipeline.answered(ERROR) == ERROR + ready(b"E")
    for part in (ready(), message(b"D", b"row"), ready()):
        assert pipeline.answered(part) == b""


def test_an_error_of_the_awaited_answer_passes() -> None:
    pipeline = Pipeline()
    pipeline.asked(query("select 1"))
    assert (pipeline.answered(ERROR), pipeline.answered(ready())) == (ERROR, ready())
    assert pipeline.asked(query("select 2")) == (query("select 2"), b"")
