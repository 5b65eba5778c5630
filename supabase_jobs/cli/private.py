"""Texts of a copied database, which nothing that the command prints may contain."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

import click

_KEY = "private"
_STARS = "***"
_PLAIN = re.compile(r"[a-z0-9]+")
# characters; a shorter text is replaced only as a whole literal
_LONG_TEXT = 5
_QUOTES = r"""(?P<quote>'|\\?"|&quot;|&\#x27;|&\#39;|&apos;)"""
# a count or a time in JSON is none of a row, whose values are texts there
_NUMBER = r'(?<![\w.])(?<!": ){}(?![\w.])'


def keep_private(texts: Iterable[str]) -> None:
    """Replace these texts in everything that the current command prints or writes from now on."""
    kept: dict[str, object] = click.get_current_context().find_root().ensure_object(dict)
    kept[_KEY] = tuple(sorted({*_kept(), *filter(None, texts)}, key=len, reverse=True))


def without_private(text: str) -> str:
    """The text with stars for each private text, however the format or a function writes it."""
    folded = text.casefold()
    for private in _kept():
        # every form has it
        longest = max(_PLAIN.findall(private.casefold()), key=len, default="")
        if longest not in folded:
            continue
        for form in _forms(private):
            if form.casefold() in folded:
                text = _replaced(text, form)
    return text


def _kept() -> tuple[str, ...]:
    context = click.get_current_context(silent=True)
    if context is None:
        return ()
    kept = context.find_root().ensure_object(dict)
    texts: tuple[str, ...] = kept.get(_KEY, ())
    return texts


def _replaced(text: str, form: str) -> str:
    """The text with stars for a form of a private text, in upper, lower and mixed case."""
    pattern = re.escape(form)
    if len(form) < _LONG_TEXT:
        quoted = re.sub(rf"{_QUOTES}{pattern}(?P=quote)", _in_quotes, text, flags=re.IGNORECASE)
        # in the query of a request
        return re.sub(rf"(?<==eq\.){pattern}(?=[&\s'\"]|$)", _STARS, quoted, flags=re.IGNORECASE)
    if form.replace(".", "").isdigit():
        return re.sub(_NUMBER.format(pattern), _STARS, text)
    return re.sub(pattern, _STARS, text, flags=re.IGNORECASE)


def _in_quotes(found: re.Match[str]) -> str:
    return f"{found['quote']}{_STARS}{found['quote']}"


def _forms(text: str) -> Iterator[str]:
    """The text as it is, and as JSON, XML, SQL and addresses write it, one in another."""
    written = {text, text.upper(), text.lower()}
    written |= {form.replace("'", "''") for form in written}
    for _ in range(2):
        written |= {json.dumps(form)[1:-1] for form in written}
        written |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in written}
    written |= {html.escape(form, quote=quoted) for form in written for quoted in (True, False)}
    written |= {form.replace("&#x27;", "&#39;") for form in written}
    written |= {
        quote(form, safe=safe) for form in (text, text.upper(), text.lower()) for safe in ("", "/")
    }
    yield from sorted(written, key=len, reverse=True)
