"""Passwords replaced with stars: in connection strings, SQL, errors and tracebacks."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

STARS = "***"
# characters; a shorter password is replaced only as a whole word: stars inside other words would
# reveal it
_LONG_PASSWORD = 8
# PASSWORD is the placeholder in our own hints
_URL = re.compile(r"(\w+:/{1,2}[^\s/:@]*):(?!PASSWORD@).*@")
_KEYWORD = re.compile(
    r"(password\s*=\s*)(?!PASSWORD)('(?:[^'\\]|\\.)*'?|[^\s&'\"]+)", re.IGNORECASE
)
_IN_URL = re.compile(r"\w+:/{1,2}[^\s/:@]*:(.*)@")
_IN_SQL = re.compile(r"(password\s*=?\s*)'(?:[^']|'')*'?", re.IGNORECASE)


def mask_connection_strings(text: str) -> str:
    """Replace the passwords of URLs and connection strings."""
    return _KEYWORD.sub(rf"\1{STARS}", _URL.sub(rf"\1:{STARS}@", text))


def mask_sql(text: str) -> str:
    """Replace the passwords of statements such as ALTER ROLE … PASSWORD 'secret'."""
    return _IN_SQL.sub(rf"\1'{STARS}'", text)


def mask_all(text: str, words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Replace the passwords of connection strings, and every password of the command line and the
    environment, wherever it is.
    """
    text = mask_connection_strings(text)
    passwords = set(_passwords(words, environ))
    # also the name of a role and a database
    return mask(text, passwords, public=("postgres",))


def mask(text: str, passwords: Collection[str], public: Collection[str] = ()) -> str:
    """Replace each password, as it is, percent-encoded and decoded.

    A form that equals a public text, such as the name of the role, is not replaced: stars would
    reveal it.
    """
    forms = {form for password in passwords for form in _forms(password)}
    for form in sorted(forms - {"", *public}, key=len, reverse=True):
        text = re.sub(_pattern(form), STARS, text)
    return text


def _pattern(form: str) -> str:
    if len(form) >= _LONG_PASSWORD:
        return re.escape(form)
    return rf"(?<!\w){re.escape(form)}(?!\w)"


def _passwords(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    for text in (*words, environ.get("SUPABASE_DB_URL", "")):
        yield from _IN_URL.findall(text)
        for _, value in _KEYWORD.findall(text):
            yield value.strip("'")
    yield environ.get("PGPASSWORD", "")


def _forms(password: str) -> tuple[str, ...]:
    return password, unquote(password), quote(password, safe=""), quote(password)
