"""Split a migration file into statements as PostgreSQL's lexer and grammar do. Knows no database.

The statements are those that version 3 of the Supabase CLI writes into the ledger:
`tests/database/parser/test_statements.py` contains its results. Version 2 splits some files
differently, but it can only push files that it splits as PostgreSQL does: the server accepts one
statement at a time.

A `;` ends a statement unless it is inside a literal, a quoted name, a comment, parentheses (the
commands of `create rule`), or a `begin atomic` body. Such a body ends at an `end` that follows a
`;`; the `end` of a `case` never does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# The white space that the CLI removes around a statement. It includes U+FEFF (the byte order mark),
# but neither U+0085 nor U+001C to U+001F.
_SPACE = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_SPACE += "\u2028\u2029\u202f\u205f\u3000\ufeff"

# The first characters of everything that can contain a `;` or ends a statement. Each alternative
# starts with a character, not with a lookbehind, which makes the search fast.
_MARK = re.compile(r"""[;()'"$]|--|/\*|[bB](?=[eE][gG][iI][nN])""")
# The characters of a name are letters, digits, _, $ and everything beyond ASCII. The classes
# exclude the rest of ASCII: a class with a range up to U+10FFFF takes Python 5 ms to compile, at
# each start of the program.
_IN_NAME = re.compile(r"[^\x00-#%-/:-@\[-^`{-\x7f]")
_WORD = re.compile(r"[^\x00-@\[-^`{-\x7f][^\x00-#%-/:-@\[-^`{-\x7f]*")
_DOLLAR_TAG = re.compile(r"\$(?:[^\x00-@\[-^`{-\x7f][^\x00-/:-@\[-^`{-\x7f]*)?\$")
# After the opening quote. A literal continues after white space that contains a line end.
_ESCAPE_STRING = re.compile(
    r"""(?:[^'\\]|\\.|''|'(?:[ \t\f\v]|--[^\n\r]*+)*+[\n\r](?:\s|--[^\n\r]*+[\n\r])*+')*+'""",
    re.DOTALL | re.ASCII,
)
_LINE_END = re.compile(r"[\n\r]")
_BLANK = re.compile(rf"(?:[{_SPACE}]+|--[^\n\r]*)*+")
_SEPARATOR = re.compile(rf"[;{_SPACE}]*+")
_BLOCK_SIGN = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class FileStatement:
    """One statement of a file as the ledger stores it, and the line where its code starts.

    `text` includes comments, but neither the final `;` nor surrounding white space. `line` is the
    line of the file, counted from 1, of the first character that is neither white space nor
    comment, else of the first character.
    """

    text: str
    line: int

    @property
    def code(self) -> str:
        """The text without the comments and white space before the code."""
        return self.text[_code_start(self.text) :]

    def line_at(self, position: int | str | None) -> int:
        """The line of the file at character `position` of `text`, counted from 1 as PostgreSQL
        does.

        Without a position it is `line`.
        """
        if position is None:
            return self.line
        code = _code_start(self.text)
        return (
            self.line
            - self.text.count("\n", 0, code)
            + self.text.count("\n", 0, max(int(position) - 1, 0))
        )


def split(text: str) -> list[FileStatement]:
    r"""The statements of a migration file, in order.

    `text` is the decoded file with its original line ends, because `\r\n` → `\n` would change the
    ledger row. It may start with a byte order mark.
    """
    statements = []
    start, line = 0, 1
    for end in _ends(text):
        kept = text[start:end].rstrip(";")
        piece = kept.strip(_SPACE)
        if piece:
            code = len(kept) - len(kept.lstrip(_SPACE)) + _code_start(piece)
            statements.append(FileStatement(piece, line + kept.count("\n", 0, code)))
        line += text.count("\n", start, end)
        start = end
    return statements


def has_code(text: str) -> bool:
    """Whether a statement is more than white space and comments."""
    return _skip_blank(text, 0) < len(text)


def first_word(text: str) -> str:
    """The first keyword or name of a statement after its comments, in lower case; "" if it starts
    otherwise.
    """
    return _next_word(text, 0)[0]


def after_separator(text: str, at: int) -> int:
    """The offset after the `;` and white space at `at`, which the ledger does not contain between
    statements.
    """
    return _SEPARATOR.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing


def _ends(text: str) -> Iterator[int]:
    """The offset after each `;` that ends a statement, then the end of the text."""
    start = at = 0
    depth = 0  # of the open parentheses
    in_body = False
    while mark := _MARK.search(text, at):
        char, at = mark[0], mark.end()
        if char == ";":
            if in_body:
                in_body = _next_word(text, at)[0] != "end"
            elif depth == 0:
                yield at
                start = at
        elif char == "(":
            depth += 1
        elif char == ")":
            depth = max(depth - 1, 0)
        elif char == "'":
            at = _after_literal(text, at)
        elif char == '"':
            at = _after(text, '"', at)  # a doubled quote ends the name and opens it again
        elif char == "$":
            at = _after_dollar(text, at)
        elif char == "--":
            at = _after_line(text, at)
        elif char == "/*":
            at = _after_block(text, at - 2)
        elif not in_body and (body := _after_begin_atomic(text, start, at - 1)) is not None:
            at = body
            in_body = _next_word(text, at)[0] != "end"
    yield len(text)


def _after(text: str, closing: str, at: int) -> int:
    """The offset after the next `closing`, else the end of the text."""
    found = text.find(closing, at)
    return len(text) if found < 0 else found + len(closing)


def _after_literal(text: str, at: int) -> int:
    """The offset after the literal whose quote precedes `at`; a backslash escapes a character only
    in `E'…'`.
    """
    is_escape = text[at - 2 : at - 1] in ("e", "E") and not (
        at > 2 and _IN_NAME.match(text, at - 3)
    )
    if not is_escape:
        return _after(text, "'", at)
    literal = _ESCAPE_STRING.match(text, at)
    return literal.end() if literal else len(text)


def _after_dollar(text: str, at: int) -> int:
    """The offset after the dollar-quoted literal that starts before `at`; `at` if that `$` starts
    none.
    """
    start = at - 1
    tag = _DOLLAR_TAG.match(text, start)
    if tag is None or (start > 0 and _IN_NAME.match(text, start - 1)):
        return at
    return _after(text, tag[0], tag.end())


def _after_line(text: str, at: int) -> int:
    """The offset of the line end after `at`."""
    found = _LINE_END.search(text, at)
    return found.start() if found else len(text)


def _after_block(text: str, at: int) -> int:
    """The offset after the block comment that starts at `at`; comments nest."""
    depth = 0
    for sign in _BLOCK_SIGN.finditer(text, at):
        depth += 1 if sign[0] == "/*" else -1
        if depth == 0:
            return sign.end()
    return len(text)


def _after_begin_atomic(text: str, start: int, at: int) -> int | None:
    """The offset after `begin atomic` at `at`; None unless the statement from `start` creates a
    function.
    """
    if at > 0 and _IN_NAME.match(text, at - 1):
        return None
    begin, after_begin = _next_word(text, at)
    atomic, after_atomic = _next_word(text, after_begin)
    if (begin, atomic) != ("begin", "atomic"):
        return None
    create, end = _next_word(text, start)
    kind, end = _next_word(text, end)
    if kind == "or":
        _, end = _next_word(text, end)
        kind, _ = _next_word(text, end)
    return after_atomic if create == "create" and kind in ("function", "procedure") else None


def _next_word(text: str, at: int) -> tuple[str, int]:
    """The keyword or name at `at`, in lower case, and the offset after it; "" if something else is
    there.
    """
    code = _skip_blank(text, at)
    word = _WORD.match(text, code)
    return (word[0].lower(), word.end()) if word else ("", code)


def _skip_blank(text: str, at: int) -> int:
    """The offset of the first character from `at` that is neither white space nor comment."""
    while (blank := _BLANK.match(text, at)) and text.startswith("/*", blank.end()):
        at = _after_block(text, blank.end())
    return blank.end() if blank else at


def _code_start(text: str) -> int:
    """The offset of the first character that is code, else of the first character."""
    code = _skip_blank(text, 0)
    return code if code < len(text) else len(text) - len(text.lstrip(_SPACE))
