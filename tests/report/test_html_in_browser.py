"""The HTML report in Chromium: widths, dark mode, contrast, keyboard, accessibility, print."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page

from supabase_jobs.findings import Audit, SuiteMutant, SuiteMutation, SuiteTest, Verification
from supabase_jobs.report import write
from supabase_jobs.report.document import Document
from supabase_jobs.report.producers import audit as audit_report
from supabase_jobs.report.producers import suite_mutation as mutation_report
from supabase_jobs.report.producers import verify as verify_report
from supabase_jobs.verify.verify import verify
from tests import audits
from tests.fix_browser import Open, Scheme, shoot
from tests.fix_db import EXPECTATIONS
from tests.programs import axe
from tests.verifications import BAD, GOOD, MARKUP

pytestmark = pytest.mark.slow

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
Result = Verification | Audit | SuiteMutation
LONG = "a_name_of_sixty_three_bytes_is_the_longest_that_postgresql_has_x"
SURVIVOR = SuiteMutant(
    f"grants:grant:public.{LONG}:SELECT:anon",
    f"public.{LONG}",
    "privileges",
    f"No test fails when anon reads {LONG}",
    f"grant select on public.{LONG} to anon;",
    "survived",
    tests={
        "pytest": SuiteTest(
            name=f"test_{LONG}",
            comment="",
            code="    rls.owner\n",
            text=f"def test_{LONG}(rls):\n    rls.owner\n",
        ),
        "pgtap": SuiteTest(name=LONG, comment=LONG, code="", text=f"-- {LONG} {LONG}\nbegin;\n"),
    },
)
MUTATION = SuiteMutation(
    (
        SURVIVOR,
        replace(SURVIVOR, state="killed"),
        replace(SURVIVOR, state="untested", note=f"audit calls no {LONG}"),
    ),
    4,
    9,
    7,
    f"pytest -q tests/{LONG}",
    2.0,
    10.0,
    2,
    30.0,
    "127.0.0.1:54322/postgres, PostgreSQL 16, as postgres",
)
WIDTHS = (320, 390, 1280)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
FAULTS = """
alter policy "guests update their own jobs" on public.async_jobs using (true) with check (true);
grant delete, truncate on public.async_jobs to anon;
drop index public.idx_async_jobs_url;
create policy "everyone reads <all>" on public.guest_users for select using (true);
"""


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> dict[str, Result]:
    """The results of verify for a database without and with faults, and an audit."""
    with psycopg.connect(request.getfixturevalue("shared")(16), autocommit=True) as connection:
        good = verify(connection, EXPECTATIONS)
        with connection.transaction(force_rollback=True):
            connection.execute(FAULTS)
            bad = verify(connection, EXPECTATIONS)
    database = "127.0.0.1:54322/postgres, PostgreSQL 16, as postgres"
    unchecked = replace(BAD, findings=BAD.findings[4:])
    return {
        "good": replace(good, database=database),
        "bad": replace(bad, database=database),
        "unchecked": unchecked,
        "audit": audits.BAD,
        "mutate": MUTATION,
    }


def _document(result: Result) -> Document:
    if isinstance(result, SuiteMutation):
        return mutation_report.document(result)
    if isinstance(result, Audit):
        return audit_report.document(result)
    return verify_report.document(result)


_pages: dict[int, tuple[Result, str]] = {}


def page_of(result: Result) -> str:
    """The page, rendered once for each result, which must stay alive for its id."""
    if id(result) not in _pages:
        html = write(_document(result), "html")
        _pages[id(result)] = result, html
    return _pages[id(result)][1]


def fits_its_width(page: Page) -> bool:
    return bool(
        page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )


def open_details(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")


@pytest.mark.parametrize("which", ["good", "bad", "unchecked", "audit", "mutate"])
def test_the_page_fits_has_contrast_loads_nothing_and_logs_nothing(
    real: dict[str, Result], open_page: Open, which: str
) -> None:
    """At every width, and in light and dark mode."""
    opened = open_page(page_of(real[which]))
    page = opened.page
    for expand in (lambda _page: None, open_details):
        expand(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert fits_its_width(page), width
            shoot(page, f"{which}-{width}")
    if page.locator("[popover]").count():
        page.evaluate("document.querySelector('[popover]').showPopover()")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        result = page.evaluate(CONTRAST)
        assert result["seen"] > (30 if which == "mutate" else 50)
        assert result["bad"] == [], scheme
    assert opened.messages == []
    assert opened.requests == [page.url]


@pytest.mark.parametrize("which", ["good", "bad"])
def test_the_page_of_a_real_database_is_below_500_kb_and_shows_the_sql_of_the_first_matrix(
    real: dict[str, Verification], which: str
) -> None:
    page, result = page_of(real[which]), real[which]
    assert len(page.encode()) < 500_000
    first = result.grids[0]
    shown = page.count(" popover role=")
    assert (
        shown >= len(first.rows) * len(first.columns)
        if which == "good"
        else shown >= len(first.mismatches) > 0
    )


def test_long_texts_do_not_overflow(open_page: Open) -> None:
    finding = replace(BAD.findings[0], object="o" * 300, message="m" * 300, fix="f" * 300 + ";")
    opened = open_page(page_of(replace(BAD, findings=(finding,), database="d" * 300)), width=320)
    assert fits_its_width(opened.page)


def test_the_contrast_check_reports_grey_text(open_page: Open) -> None:
    page = open_page(
        "<body style='background:#fff'><p style='color:#999'>grey</p><p>black</p></body>"
    ).page
    assert page.evaluate(CONTRAST) == {"seen": 2, "bad": ["P. 2.85 grey"]}


def test_light_and_dark_mode_have_different_colours(open_page: Open) -> None:
    colours = (
        "getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color"
    )
    shown = [
        open_page(page_of(GOOD), scheme=scheme).page.evaluate(colours)
        for scheme in ("light", "dark")
    ]
    assert shown[0] != shown[1]


@pytest.mark.parametrize("which", ["good", "bad", "audit", "mutate"])
def test_axe_reports_no_violation(real: dict[str, Result], open_page: Open, which: str) -> None:
    """The content security policy of the page is removed, because it blocks the script of axe too.

    Dark mode changes only colours, whose contrast is tested above.
    """
    html = page_of(real[which])
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    assert policy in html
    page = open_page(html.replace(policy, ""), width=390).page
    page.evaluate(axe().read_text(encoding="utf-8"))
    if which == "mutate":
        open_details(page)
    else:
        page.locator("button.cell").first.click()
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [
        (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
        for one in result["violations"]
    ] == []
    assert len(result["passes"]) > 15


def test_the_matrix_scrolls_beside_a_fixed_first_column(
    real: dict[str, Result], open_page: Open
) -> None:
    page = open_page(page_of(real["good"]), width=320).page
    region = page.locator(".scroll:has(.matrix)").first
    assert region.evaluate("e => e.scrollWidth > e.clientWidth && e.tabIndex === 0")
    head = region.locator("tbody th").first
    before = head.evaluate("e => e.getBoundingClientRect().x")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)  # scrolling is animated
    assert region.evaluate("e => e.scrollLeft") > 0
    assert region.evaluate("e => { e.scrollLeft = 1e6; return e.scrollLeft }") > 300
    assert head.evaluate("e => e.getBoundingClientRect().x") == before


def test_the_first_tab_focuses_the_skip_link(open_page: Open) -> None:
    page = open_page(page_of(GOOD)).page
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert focused.inner_text() == "Skip to the content"
    assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert focused.evaluate("e => e.getBoundingClientRect().top >= 0")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_tab_reaches_every_probe_and_enter_opens_it(open_page: Open) -> None:
    page = open_page(page_of(BAD)).page
    buttons = page.locator("button.cell").count()
    assert buttons == 27
    visited: list[str] = []
    for _ in range(200):
        page.keyboard.press("Tab")
        target = page.evaluate("document.activeElement.getAttribute('popovertarget')")
        if target is None:
            if visited:
                break
            continue
        visited.append(target)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        assert page.locator(f"#{target}").is_visible()
        assert "select '<b>'" in page.locator(f"#{target}").inner_text()
        page.keyboard.press("Escape")
        assert not page.locator(f"#{target}").is_visible()
        assert page.evaluate("document.activeElement.getAttribute('popovertarget')") == target
    targets = "cells => cells.map(cell => cell.getAttribute('popovertarget'))"
    assert visited == page.locator("button.cell").evaluate_all(targets)
    assert len(set(visited)) == buttons


def test_a_mismatching_cell_is_marked_and_shows_its_fix(open_page: Open) -> None:
    page = open_page(page_of(BAD)).page
    (cell,) = page.locator("button.mismatch").all()
    assert cell.text_content() == "✗ mismatch: violates"
    cell.click()
    shown = page.locator("[popover]:popover-open").inner_text()
    assert "user: is violates | not hidden" in shown
    assert "fix it" in shown


def test_details_open_with_the_keyboard(open_page: Open) -> None:
    page = open_page(page_of(BAD)).page
    summary = page.locator("#cases ~ details > summary").first
    summary.focus()
    page.keyboard.press("Enter")
    inner = page.locator("#cases ~ details[open] li summary").first
    inner.focus()
    page.keyboard.press("Space")
    assert "select 1;" in page.locator("#cases ~ details[open]").inner_text()


def test_a_link_to_a_preamble_opens_it(open_page: Open) -> None:
    page = open_page(page_of(BAD)).page
    page.locator(".finding summary").first.click()
    page.locator(".finding a").first.click()
    page.wait_for_selector("#preambles ~ details[open]")
    assert "-- The fixture." in page.locator("#preambles ~ details[open]").inner_text()


def test_markup_in_texts_is_escaped(open_page: Open) -> None:
    opened = open_page(page_of(BAD))
    assert (
        MARKUP.split("\x1b")[0].strip()
        in opened.page.locator("#findings ~ article").all_inner_texts()[1]
    )
    assert opened.page.locator("main script").count() == 0
    assert opened.messages == []


def test_print_hides_the_navigation_and_shows_whole_matrices(open_page: Open) -> None:
    page = open_page(page_of(BAD)).page
    page.emulate_media(media="print")
    shoot(page, "print")
    assert not page.locator("nav").is_visible()
    assert page.locator(".scroll").last.evaluate("e => getComputedStyle(e).overflowX") == "visible"
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (GOOD, "Passed"),
        (BAD, "Failed"),
        (replace(GOOD, unchecked=("plans",)), "Not everything was checked"),
    ],
    ids=["good", "bad", "unchecked"],
)
def test_the_title_and_the_heading_hold_the_verdict(
    open_page: Open, result: Verification, verdict: str
) -> None:
    page = open_page(page_of(result)).page
    assert page.locator("h1").inner_text().endswith(verdict)
    assert page.title().startswith(verdict)
    assert page.locator("h1").count() == 1


# the page of an audit


def test_a_cell_of_the_audit_opens_its_sql_and_request_with_the_keyboard(open_page: Open) -> None:
    page = open_page(page_of(audits.BAD), width=400).page
    button = page.locator("button.cell").first
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("[popover]:popover-open")
    assert dialog.locator("h3").inner_text() == "public.notes: read all"
    summary = dialog.locator("summary").first
    assert summary.inner_text() == "rows another's rows: anon, stranger"
    summary.focus()
    page.keyboard.press("Enter")
    assert "select '<b>'" in dialog.inner_text()
    assert "curl '<select>'" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('popovertarget')") == "cell-1"


def visible_rows(page: Page) -> list[str]:
    heads = page.locator(".audit").first.locator("tbody th").all()
    return [head.inner_text() for head in heads if head.is_visible()]


def test_filters_of_the_audit_work_with_the_keyboard_and_without_script(open_page: Open) -> None:
    page = open_page(page_of(audits.BAD)).page
    every = ["public.notes", "public.pages", "public.list"]
    assert visible_rows(page) == every
    page.locator("#rows-every").focus()
    shown = []
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        shown.append(visible_rows(page))
    assert shown == [
        ["public.notes"],
        ["public.notes", "public.list"],
        ["public.notes", "public.list"],
    ]
    assert page.locator("article.info").is_visible()
    page.locator("#show-info").focus()
    page.keyboard.press("Space")
    assert not page.locator("article.info").is_visible()
    assert page.locator("article.error").first.is_visible()
