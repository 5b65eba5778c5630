"""Texts of a copied database are replaced in whatever form they are printed, and what is printed
stays valid. Without a database.
"""

import html
import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import fromstring

import click
import pytest

from supabase_jobs.cli.private import keep_private, without_private
from supabase_jobs.cli.reports import show_report
from supabase_jobs.report import write
from supabase_jobs.report.producers.verify import document
from tests.verifications import BAD, FINDINGS

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


def test_small_numbers_tell_nothing() -> None:
    assert hidden("'78' and '4711'", "78", "4711") == "'78' and '***'"


def test_numbers_as_words_and_not_as_numbers_of_json() -> None:
    text = '{"milliseconds": 71429.5, "why": "ask 71429.5", "other": "171429.5"}'
    expected = '{"milliseconds": 71429.5, "why": "ask ***", "other": "171429.5"}'
    assert hidden(text, "71429.5") == expected


each_text = pytest.mark.parametrize(
    "text",
    [
        'a "quoted" value',
        "it's a value",
        "C:\\share\\n",
        "\\share",
        "ends with \\",
        "n begins like an escape",
        "amp; as in XML",
        "a & b <c> ]]>",
        "two\nlines\tand a tab",
        "ñandú 😀 value",
        "testcase",
        "results",
        "low",
        'a"b',
        "&",
    ],
)


def printed(form: str, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A report about findings that quote a private text."""
    quoted = [
        replace(
            finding,
            message=f"the value '{text}' is \"{text}\",\n{json.dumps(text)}",
            fix=f"select '{text.replace(chr(39), chr(39) * 2)}';",
        )
        for finding in FINDINGS
    ]
    with click.Context(click.Command("audit")):
        keep_private([text])
        show_report(document(replace(BAD, findings=tuple(quoted))), form, None)
    return capsys.readouterr().out


def texts_of(value: Any) -> list[str]:
    """The texts in a JSON document, without its keys."""
    if isinstance(value, dict):
        return texts_of([*value.values()])
    if isinstance(value, list):
        return [text for item in value for text in texts_of(item)]
    return [value] if isinstance(value, str) else []


@each_text
@pytest.mark.parametrize("form", ["json", "sarif", "codequality"])
def test_json_stays_valid(form: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    unmasked = json.loads(write(document(BAD), form))
    masked = json.loads(printed(form, text, capsys))
    assert masked.keys() == unmasked.keys() if isinstance(masked, dict) else len(masked) > 0
    found = texts_of(masked)
    assert any("the value '***' is \"***\"" in one for one in found)
    quoted = [f"'{text}'", f'"{text}"', f"'{text.replace(chr(39), chr(39) * 2)}'"]
    assert [one for one in found if any(q in one for q in quoted)] == []


@each_text
def test_xml_stays_valid(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = fromstring(printed("junit", text, capsys).encode())  # noqa: S314  written by us
    assert {element.tag for element in root.iter()} >= {"testsuite", "testcase", "failure"}
    found = [*root.itertext(), *(value for e in root.iter() for value in e.attrib.values())]
    assert any("the value '***' is \"***\"" in one for one in found)
    assert [one for one in found if f"'{text}'" in one or f'"{text}"' in one] == []
