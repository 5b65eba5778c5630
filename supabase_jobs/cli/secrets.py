"""Passwords out of text that others wrote: a command line that could not be parsed, a traceback."""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

# PASSWORD is what our own hints write
_URL = re.compile(r"(\w+:/{1,2}[^\s/:@]*):(?!PASSWORD@).*@")
_KEYWORD = re.compile(r"(password\s*=\s*)(?!PASSWORD)('(?:[^'\\]|\\.)*'?|[^\s&'\"]+)", re.IGNORECASE)
_LONG = 8


def without_passwords(text: str) -> str:
    """The text, with stars for what stands where URLs and connection strings have their password."""
    return _KEYWORD.sub(r"\1***", _URL.sub(r"\1:***@", text))


def without_these(text: str, words: Sequence[str], environ: Mapping[str, str]) -> str:
    """The same, and also without the passwords of this command line and environment, wherever they stand."""
    text = without_passwords(text)
    for secret in sorted(set(_secrets(words, environ)), key=len, reverse=True):
        pattern = re.escape(secret) if len(secret) >= _LONG else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(pattern, "***", text)
    return text


def _secrets(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    for text in (*words, environ.get("SUPABASE_DB_URL", "")):
        for found in re.findall(r"\w+:/{1,2}[^\s/:@]*:(.*)@", text) + [m[1] for m in _KEYWORD.findall(text)]:
            yield from _forms(found.strip("'"))
    yield from _forms(environ.get("PGPASSWORD", ""))


def _forms(secret: str) -> Iterator[str]:
    for form in (secret, unquote(secret), quote(secret, safe="")):
        if form and form != "postgres":  # a role's and a database's name, and no secret
            yield form
