"""Texts of a copied database, which nothing that the command prints may contain."""

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache, lru_cache
from typing import Any, TypeVar, cast
from urllib.parse import quote

import click

from supabase_jobs.database.masking import STARS

T = TypeVar("T")

_KEY = "private"
_PLAIN = re.compile(r"[a-z0-9]+")
# characters; a shorter text is replaced only as a whole literal
_LONG_TEXT = 5
# digits
_SMALL_NUMBER = 3
_QUOTES = r"""(?P<quote>'|\\?"|&quot;|&\#x27;|&\#39;|&apos;)"""
# a count or a time in JSON is none of a row, whose values are texts there
_NUMBER = r'(?<![\w.])(?<!": ){}(?![\w.])'


def keep_private(texts: Iterable[str]) -> None:
    """Replace these texts in everything that the current command prints or writes from now on."""
    kept: dict[str, object] = click.get_current_context().find_root().ensure_object(dict)
    kept[_KEY] = tuple(sorted({*_kept(), *filter(_is_telling, texts)}, key=len, reverse=True))


def _is_telling(text: str) -> bool:
    """Whether a report that has the text tells something: not a small number, which it may have
    chosen itself.
    """
    return bool(text) and not (text.isdigit() and len(text) <= _SMALL_NUMBER)


def without_private(value: T) -> T:
    """A text or a document with stars for each private text, however a function or format writes
    it.

    A document is replaced before a format escapes its texts, which would otherwise break what it
    writes: the stars for `\\share` are no JSON if they follow a backslash. Keys and members of an
    Enum are words of ours.
    """
    private = _kept()
    return cast(T, _replaced_in(value, private)) if private else value


def _kept() -> tuple[str, ...]:
    context = click.get_current_context(silent=True)
    if context is None:
        return ()
    kept = context.find_root().ensure_object(dict)
    texts: tuple[str, ...] = kept.get(_KEY, ())
    return texts


def _replaced_in(value: Any, private: tuple[str, ...]) -> Any:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return _without(value, private)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **_replaced_in(parts, private))
    if isinstance(value, Mapping):
        return {key: _replaced_in(item, private) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_replaced_in(item, private) for item in value)
    if callable(value):  # the contract of a document, the SQL of a cell
        return lambda *arguments: _replaced_in(value(*arguments), private)
    return value


def _without(text: str, private: tuple[str, ...]) -> str:
    folded = text.casefold()
    for hidden in private:
        if folded == hidden.casefold():
            return STARS
        if _longest_word(hidden) not in folded:
            continue
        for form, folded_form in _forms(hidden):
            if folded_form in folded:
                text = _replaced(text, form)
    return text


@cache
def _longest_word(text: str) -> str:
    """A part of the text that every form of it has."""
    return max(_PLAIN.findall(text.casefold()), key=len, default="")


def _replaced(text: str, form: str) -> str:
    """The text with stars for a form of a private text, in upper, lower and mixed case."""
    pattern = re.escape(form)
    if len(form) < _LONG_TEXT:
        quoted = re.sub(rf"{_QUOTES}{pattern}(?P=quote)", _in_quotes, text, flags=re.IGNORECASE)
        # in the query of a request
        return re.sub(rf"(?<==eq\.){pattern}(?=[&\s'\"]|$)", STARS, quoted, flags=re.IGNORECASE)
    if form.replace(".", "").isdigit():
        return re.sub(_NUMBER.format(pattern), STARS, text)
    return re.sub(pattern, STARS, text, flags=re.IGNORECASE)


def _in_quotes(found: re.Match[str]) -> str:
    return f"{found['quote']}{STARS}{found['quote']}"


@lru_cache(maxsize=4096)
def _forms(text: str) -> tuple[tuple[str, str], ...]:
    """The text as it is, and as JSON, XML, SQL and addresses write it, one in another; each also
    folded.
    """
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
    return tuple((form, form.casefold()) for form in sorted(written, key=len, reverse=True))
