"""Texts of a copied database, which nothing that the command prints may contain."""

import html
import json
from collections.abc import Iterable, Iterator

import click

_KEY = "private"
_STARS = "***"
# characters; a shorter text is replaced only as a whole literal
_LONG_TEXT = 5


def keep_private(texts: Iterable[str]) -> None:
    """Replace these texts in everything that the current command prints or writes from now on."""
    kept: dict[str, object] = click.get_current_context().find_root().ensure_object(dict)
    kept[_KEY] = tuple(sorted({*_kept(), *texts}, key=len, reverse=True))


def without_private(text: str) -> str:
    """The text with stars for each private text, however the format writes it."""
    for private in _kept():
        if private not in text and not _is_escaped(private):
            continue
        for form in _forms(private):
            text = text.replace(form, _STARS)
    return text


def _kept() -> tuple[str, ...]:
    context = click.get_current_context(silent=True)
    if context is None:
        return ()
    kept = context.find_root().ensure_object(dict)
    texts: tuple[str, ...] = kept.get(_KEY, ())
    return texts


def _is_escaped(text: str) -> bool:
    """Whether some format writes the text with other characters."""
    return not text.isascii() or any(character in text for character in "\"'\\<>&\n\r\t")


def _forms(text: str) -> Iterator[str]:
    """The text as it is, and as JSON, HTML and SQL write it."""
    forms = dict.fromkeys(
        (
            text,
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            html.escape(text),
            html.escape(text, quote=False),
            text.replace("'", "''"),
            html.escape(text.replace("'", "''")),
        )
    )
    if len(text) >= _LONG_TEXT:
        yield from forms
        return
    for form in forms:
        yield from (f"'{form}'", f'"{form}"', f"&#x27;{form}&#x27;", f"&#39;{form}&#39;")
