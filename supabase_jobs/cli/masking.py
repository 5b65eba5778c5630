"""Password masking in texts of unknown form: a command line that cannot be parsed, a traceback, an
error message.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

# PASSWORD is the placeholder in our own hints
_URL = re.compile(r"(\w+:/{1,2}[^\s/:@]*):(?!PASSWORD@).*@")
_KEYWORD = re.compile(
    r"(password\s*=\s*)(?!PASSWORD)('(?:[^'\\]|\\.)*'?|[^\s&'\"]+)", re.IGNORECASE
)
# characters; a shorter password is masked only as a whole word
_LONG_PASSWORD = 8


def mask_passwords(text: str) -> str:
    """Replace the passwords of URLs and connection strings with stars."""
    return _KEYWORD.sub(r"\1***", _URL.sub(r"\1:***@", text))


def mask_all(text: str, words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Also replace every occurrence of a password from the command line or the environment."""
    text = mask_passwords(text)
    for password in sorted(set(_passwords(words, environ)), key=len, reverse=True):
        pattern = (
            re.escape(password)
            if len(password) >= _LONG_PASSWORD
            else rf"(?<!\w){re.escape(password)}(?!\w)"
        )
        text = re.sub(pattern, "***", text)
    return text


def _passwords(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    for text in (*words, environ.get("SUPABASE_DB_URL", "")):
        for match in re.findall(r"\w+:/{1,2}[^\s/:@]*:(.*)@", text) + [
            m[1] for m in _KEYWORD.findall(text)
        ]:
            yield from _forms(match.strip("'"))
    yield from _forms(environ.get("PGPASSWORD", ""))


def _forms(password: str) -> Iterator[str]:
    for form in (password, unquote(password), quote(password, safe="")):
        if form and form != "postgres":  # also the name of a role and a database
            yield form
