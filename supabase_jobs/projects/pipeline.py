"""Shortens the conversation of a program that waits for each answer, such as pg_dump.

At a distance most of its time is waiting, and it holds its locks meanwhile. Its settings are
answered at once, while they are on their way to the database, and questions that it will ask are
sent before it does. The database gets the same statements in the same session.
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_HEAD = struct.Struct("!ci")
# the statements that have no rows, and the words that the server answers them with
_SETTINGS = {"SET ": b"SET", "BEGIN": b"BEGIN", "PREPARE ": b"PREPARE"}
# of the frontend: each is answered with ReadyForQuery
_QUERY, _SYNC, _CALL = b"Q", b"S", b"F"
# of the backend: an error, the end of an answer, and messages that belong to no answer
_ERROR, _READY = b"E", b"Z"
_ASYNCHRONOUS = (b"N", b"S", b"A")


def split(buffer: bytearray) -> Iterator[bytes]:
    """The whole messages at the beginning of the buffer, which keeps the rest."""
    start = 0
    while len(buffer) - start >= _HEAD.size:
        _, length = _HEAD.unpack_from(buffer, start)
        end = start + 1 + length
        if end > len(buffer):
            break
        yield bytes(buffer[start:end])
        start = end
    del buffer[:start]


@dataclass
class _Question:
    """A question on its way to the database; its answer is collected until the program asks it."""

    text: str
    is_awaited: bool
    is_ahead: bool = False
    answer: list[bytes] = field(default_factory=list)


class Pipeline:
    """The conversation of one connection.

    `questions` are those that the program may ask, in its words. When it asks the first of those
    that begin alike, the others follow.
    """

    def __init__(self, questions: Iterable[str] = ()) -> None:
        self._groups: dict[str, list[str]] = {}
        for text in questions:
            self._groups.setdefault(_beginning(text), []).append(text)
        self._asked: deque[_Question] = deque()
        self._answers: dict[str, bytes] = {}
        self._status = b"I"
        self._error = b""

    def asked(self, message: bytes) -> tuple[bytes, bytes]:
        """The bytes for the database and those for the program, after a message of the program."""
        kind = message[:1]
        if kind in (_SYNC, _CALL):
            self._asked.append(_Question("", is_awaited=True))
        if kind != _QUERY:
            return message, b""
        if self._error:
            return b"", self._error
        text = message[_HEAD.size : -1].decode(errors="replace")
        if text in self._answers:
            return b"", self._answers.pop(text)
        for question in self._asked:
            if question.is_ahead and question.text == text:
                question.is_awaited = True
                return b"", b""
        for words, tag in _SETTINGS.items():
            if text.startswith(words):
                self._asked.append(_Question(text, is_awaited=False))
                return message, self._answer_to(tag)
        self._asked.append(_Question(text, is_awaited=True))
        return message + self._others(text), b""

    def answered(self, message: bytes) -> bytes:
        """The bytes for the program after a message of the database.

        An error that the program does not wait for is the answer to all that it asks from then on.
        """
        kind = message[:1]
        if not self._asked or kind in _ASYNCHRONOUS:
            return message
        if self._error:
            return b""
        question = self._asked[0]
        if kind == _ERROR and not question.is_awaited:
            self._error = message + _message(_READY, b"E")
            return self._error if any(q.is_awaited for q in self._asked) else b""
        if kind == _READY:
            self._asked.popleft()
        if not question.is_ahead:
            if question.is_awaited and kind == _READY:
                self._status = message[-1:]
            return message if question.is_awaited else b""
        question.answer.append(message)
        if kind != _READY:
            return b""
        whole = b"".join(question.answer)
        if question.is_awaited:
            return whole
        self._answers[question.text] = whole
        return b""

    def _answer_to(self, tag: bytes) -> bytes:
        if tag == b"BEGIN":
            self._status = b"T"
        return _message(b"C", tag + b"\0") + _message(_READY, self._status)

    def _others(self, text: str) -> bytes:
        """The questions that begin as this one."""
        others = [other for other in self._groups.pop(_beginning(text), ()) if other != text]
        self._asked.extend(_Question(other, is_awaited=False, is_ahead=True) for other in others)
        return b"".join(_message(_QUERY, other.encode() + b"\0") for other in others)


def _beginning(text: str) -> str:
    """The part of a question that it has in common with those about other objects."""
    return text.partition("'")[0]


def _message(kind: bytes, body: bytes) -> bytes:
    return _HEAD.pack(kind, len(body) + 4) + body
