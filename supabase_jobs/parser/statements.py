"""Split a migration file into statements the way `supabase db push` does; knows no database.

The Supabase CLI stores the pieces of every file it applies in the ledger, and drift is read by
comparing them. So the pieces have to be the CLI's to the letter, also where its idea of SQL is not
PostgreSQL's. Measured on version 2.117.0; `tests/parser/test_statements.py` holds what it answered.

Where the CLI strays from PostgreSQL (each can cut a valid file in the wrong place, or fail to cut it):

* a backslash outside quotes hides the next character, and inside `E'…'` it hides nothing;
* `/*/` opens and closes a comment, and in `/* … /*/` the inner one is closed at once;
* `$` opens a dollar quote in the middle of an identifier, and a tag may begin with a digit;
* one `)` closes all brackets that were opened without anything else between them;
* a `begin atomic` body ends at the first letters `end`, those of `pending` or `case … end` included,
  and `begin` as the last word of a comment counts;
* `;` inside brackets or such a body goes unseen, also by a quote, tag or dash that stands before it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What the CLI's runtime takes for white space: not U+0085 or U+001C to U+001F, but U+FEFF, as in a BOM.
_SPACE = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_SPACE += "\u2028\u2029\u202f\u205f\u3000\ufeff"

# Everything that can change the state: a single character, or the last letter of `atomic` or `end`.
# A dotless i (U+0131) is an upper-case I to the CLI.
_MARK = re.compile("['\"$/\\\\;()-]|(?<=[aA][tT][oO][mM][iI\u0131])[cC]|(?<=[eE][nN])[dD]")
_BLOCK = re.compile(r"/(?=\*)|\*(?=/)")
_BLOCK_WHOLE = re.compile(r"/\*|\*/")
_LINE_END = re.compile(r"[\n\r]")


@dataclass(frozen=True)
class Statement:
    """One statement as the ledger holds it, and where its code starts.

    `text` keeps comments, and has neither the final `;` nor white space around it. `line` is the line
    of the file, counted from 1, with the first character that is neither blank nor comment (with the
    first character at all where there is only comment).
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
    r"""The statements of a migration file, in order; none for a file without any.

    `text` is the file decoded as UTF-8 with its line ends as they are: text mode's `\r\n` → `\n` would
    change the ledger row. A byte order mark may stay.
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
    """The offset behind each `;` that ends a statement, then that of the end of the text."""
    closers: list[str] = []  # for each bracket or body that is open: what closes it
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
            case _:  # a backslash; the bracket behind it closes all the same
                at += not text.startswith(")", at)
    yield len(text)


def _after_quote(text: str, at: int, quote: str, nested: bool) -> int:
    """Where the quote opened before `at` is over; a doubled delimiter does not end it."""
    while (close := text.find(quote, at)) >= 0:
        after = _unseen(text, close + 1, nested)
        if not text.startswith(quote, after):
            return after
        at = after + 1
    return len(text)


def _after_dash(text: str, at: int, nested: bool) -> int:
    """Where the line comment is over if a second dash follows, else where to read on."""
    at = _unseen(text, at, nested)
    if not text.startswith("-", at):
        return at
    newline = text.find("\n", at)
    return len(text) if newline < 0 else newline + 1


def _after_slash(text: str, at: int) -> int:
    """Where the block comment is over if a star follows, else where to read on.

    Openings and closings may share a character, that is how `/*/` comes to be a whole comment.
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
    """Where the dollar quote is over if a tag and a second `$` follow, else where to read on."""
    start = at - 1
    while at < len(text) and (_in_name(text[at]) or (nested and text[at] == ";")):
        at += 1
    if not text.startswith("$", at):
        return at
    tag = text[start : at + 1]
    close = text.find(tag, start + 1)  # the closing tag may begin with the last character of the opening one
    return len(text) if close < 0 else close + len(tag)


def _unseen(text: str, at: int, nested: bool) -> int:
    """Past the semicolons at `at`, which nothing takes notice of inside brackets and bodies."""
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
    # the CLI looks at half a character where one takes two UTF-16 units, and finds no letter
    return not before or before > "\uffff" or not (_in_name(before) or before == "$")


def _in_name(char: str) -> bool:
    """Whether the CLI takes the character for part of a name or of a dollar quote's tag."""
    return char.isalpha() or char.isdecimal() or char == "_"


def _code_start(text: str) -> int:
    """Where PostgreSQL sees the first character that is neither blank nor comment, else the first one."""
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
    """Where PostgreSQL ends the block comment that starts at `at`."""
    depth = 0
    for sign in _BLOCK_WHOLE.finditer(text, at):
        depth += 1 if sign[0] == "/*" else -1
        if depth == 0:
            return sign.end()
    return len(text)
