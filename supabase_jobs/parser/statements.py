"""Split a migration file into statements exactly as the Supabase CLI does. Knows no database.

The CLI stores the statements of each file in the ledger, and drift detection compares them. So the split must be the
same as the CLI's, even if its SQL differs from PostgreSQL's. `tests/parser/test_statements.py` contains the results of
version 2.117.0.

The CLI differs from PostgreSQL in these cases, each of which can split a valid file wrongly:

* a backslash outside quotes hides the next character, and inside `E'…'` it hides nothing;
* `/*/` opens and closes a comment, and in `/* … /*/` the inner one is closed at once;
* `$` opens a dollar quote in the middle of an identifier, and a tag may begin with a digit;
* one `)` closes all directly nested brackets;
* a `begin atomic` body ends at the first letters `end`, even those of `pending` or `case … end`, and `begin` may be the
  last word of a comment;
* `;` inside brackets or such a body is ignored, even directly after a quote, a tag or a dash.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# White space to the CLI's runtime: U+FEFF (a byte order mark) is, U+0085 and U+001C to U+001F are not.
_SPACE = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_SPACE += "\u2028\u2029\u202f\u205f\u3000\ufeff"

# The characters that can change the state; for `atomic` and `end` it is their last letter.
# The CLI treats a dotless i (U+0131) as an upper-case I.
_MARK = re.compile("['\"$/\\\\;()-]|(?<=[aA][tT][oO][mM][iI\u0131])[cC]|(?<=[eE][nN])[dD]")
_BLOCK = re.compile(r"/(?=\*)|\*(?=/)")
_BLOCK_WHOLE = re.compile(r"/\*|\*/")
_LINE_END = re.compile(r"[\n\r]")


@dataclass(frozen=True)
class Statement:
    """One statement as the ledger stores it, and the line where its code starts.

    `text` includes comments, but neither the final `;` nor surrounding white space. `line` is the line of the file,
    counted from 1, of the first character that is neither white space nor comment, else of the first character.
    """

    text: str
    line: int

    def line_at(self, position: int | str | None) -> int:
        """The line of the file at character `position` of `text`, counted from 1 as PostgreSQL does.

        Without a position it is `line`.
        """
        if position is None:
            return self.line
        code = _code_start(self.text)
        return self.line - self.text.count("\n", 0, code) + self.text.count("\n", 0, max(int(position) - 1, 0))


def split(text: str) -> list[Statement]:
    r"""The statements of a migration file, in order.

    `text` is the decoded file with its original line ends, because `\r\n` → `\n` would change the ledger row. It may
    start with a byte order mark.
    """
    statements = []
    start, line = 0, 1
    for end in _ends(text):
        kept = text[start:end].rstrip(";")
        piece = kept.strip(_SPACE)
        if piece:
            code = len(kept) - len(kept.lstrip(_SPACE)) + _code_start(piece)
            statements.append(Statement(piece, line + kept.count("\n", 0, code)))
        line += text.count("\n", start, end)
        start = end
    return statements


def _ends(text: str) -> Iterator[int]:
    """The offset after each `;` that ends a statement, then the end of the text."""
    closers: list[str] = []  # the closing word of each open bracket or body
    at = 0
    while mark := _MARK.search(text, at):
        char, at = mark[0], mark.end()
        nested = bool(closers)
        match char:
            case ";":
                if not nested:
                    yield at
            case "(":
                closers.append(")")
            case "c" | "C":
                if _is_begin_atomic(text, at):
                    closers.append("end")
            case ")" | "d" | "D":
                closer = ")" if char == ")" else "end"
                while closers and closers[-1] == closer:
                    closers.pop()
            case "'" | '"':
                at = _after_quote(text, at, char, nested)
            case "-":
                at = _after_dash(text, at, nested)
            case "/":
                at = _after_slash(text, at)
            case "$":
                at = _after_dollar(text, at, nested)
            case _:  # a backslash; a bracket after it still closes
                at += not text.startswith(")", at)
    yield len(text)


def _after_quote(text: str, at: int, quote: str, nested: bool) -> int:
    """The offset after the quote that was opened before `at`; a doubled delimiter does not end it."""
    while (close := text.find(quote, at)) >= 0:
        after = _skip_semicolons(text, close + 1, nested)
        if not text.startswith(quote, after):
            return after
        at = after + 1
    return len(text)


def _after_dash(text: str, at: int, nested: bool) -> int:
    """The offset after the line comment if a second dash follows, else the offset to continue at."""
    at = _skip_semicolons(text, at, nested)
    if not text.startswith("-", at):
        return at
    newline = text.find("\n", at)
    return len(text) if newline < 0 else newline + 1


def _after_slash(text: str, at: int) -> int:
    """The offset after the block comment if a star follows, else the offset to continue at.

    The opening and the closing may share a character, so `/*/` is a complete comment.
    """
    if not text.startswith("*", at):
        return at
    depth = 1
    for sign in _BLOCK.finditer(text, at):
        depth += 1 if sign[0] == "/" else -1
        if depth == 0:
            return sign.end() + 1
    return len(text)


def _after_dollar(text: str, at: int, nested: bool) -> int:
    """The offset after the dollar quote if a tag and a second `$` follow, else the offset to continue at."""
    start = at - 1
    while at < len(text) and (_in_name(text[at]) or (nested and text[at] == ";")):
        at += 1
    if not text.startswith("$", at):
        return at
    tag = text[start : at + 1]
    close = text.find(tag, start + 1)  # the closing tag may share the `$` of the opening tag
    return len(text) if close < 0 else close + len(tag)


def _skip_semicolons(text: str, at: int, nested: bool) -> int:
    """The offset after the semicolons at `at`, which are ignored inside brackets and bodies."""
    while nested and text.startswith(";", at):
        at += 1
    return at


def _is_begin_atomic(text: str, end: int) -> bool:
    """Whether the word `atomic` that ends at `end` has `begin` and only white space before it."""
    word = end - len("atomic")
    gap = word
    while gap > 0 and text[gap - 1] in _SPACE:
        gap -= 1
    begin = gap - len("begin")
    if gap == word or begin < 0 or text[begin:gap].upper() != "BEGIN":
        return False
    before = text[begin - 1 : begin]
    # of a character with two UTF-16 units the CLI sees the second unit, which is not a letter
    return not before or before > "\uffff" or not (_in_name(before) or before == "$")


def _in_name(char: str) -> bool:
    """Whether the CLI accepts the character in a name or in the tag of a dollar quote."""
    return char.isalpha() or char.isdecimal() or char == "_"


def _code_start(text: str) -> int:
    """The offset of the first character that PostgreSQL reads as code, else of the first character."""
    at = first = len(text) - len(text.lstrip(_SPACE))
    while at < len(text):
        if text[at] in _SPACE:
            at += 1
        elif text.startswith("--", at):
            stop = _LINE_END.search(text, at)
            at = stop.start() if stop else len(text)
        elif text.startswith("/*", at):
            at = _after_block(text, at)
        else:
            return at
    return first


def _after_block(text: str, at: int) -> int:
    """The offset after the block comment that starts at `at`, as PostgreSQL reads it."""
    depth = 0
    for sign in _BLOCK_WHOLE.finditer(text, at):
        depth += 1 if sign[0] == "/*" else -1
        if depth == 0:
            return sign.end()
    return len(text)
