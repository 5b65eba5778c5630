"""Texts of a copied database are replaced in whatever form they are printed. Without a database."""

import html
import json
from urllib.parse import quote

import click
import pytest

from supabase_jobs.cli.private import keep_private, without_private

TEXT = 'Ask "Anna" & <Bö>\n'


def hidden(text: str, *private: str) -> str:
    with click.Context(click.Command("audit")):
        keep_private(private)
        return without_private(text)


@pytest.mark.parametrize(
    "written",
    [
        TEXT,
        TEXT.upper(),
        TEXT.lower(),
        TEXT.swapcase(),
        json.dumps(TEXT),
        json.dumps(TEXT, ensure_ascii=False),
        json.dumps(TEXT.upper()),
        json.dumps(json.dumps(TEXT)),
        html.escape(TEXT),
        html.escape(TEXT, quote=False),
        html.escape(TEXT.upper()),
        html.escape(json.dumps(TEXT)),
        quote(TEXT),
        quote(TEXT.upper(), safe=""),
    ],
)
def test_forms_of_a_private_text(written: str) -> None:
    assert "Ann" not in hidden(f"before {written} after", TEXT).title()


def test_short_texts_only_as_literals() -> None:
    text = '\'pro\' "PRO" \\"pro\\" &#x27;pro&#x27; ?plan=eq.pro&x=1 public.products'
    assert hidden(text, "pro") == (
        '\'***\' "***" \\"***\\" &#x27;***&#x27; ?plan=eq.***&x=1 public.products'
    )


def test_numbers_as_words_and_not_as_numbers_of_json() -> None:
    text = '{"milliseconds": 71429.5, "why": "ask 71429.5", "other": "171429.5"}'
    expected = '{"milliseconds": 71429.5, "why": "ask ***", "other": "171429.5"}'
    assert hidden(text, "71429.5") == expected
