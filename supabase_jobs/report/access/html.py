"""What migrations change in the access as one self-contained HTML page: no script, no font, no
image, no network.
"""

from markupsafe import escape

from supabase_jobs.findings import AccessDiff
from supabase_jobs.report.access import sentences
from supabase_jobs.report.audit import matrix
from supabase_jobs.report.html import environment

# the part of the page for changes, and what the elements around a change add to it
_CHANGES_BYTES, _ARTICLE_BYTES = 250_000, 400
_ROWS = 500


def diff(result: AccessDiff) -> str:
    """The page: verdict, changes with causes and fixes, what was not compared, and who can do what
    after them.
    """
    room, parts = _CHANGES_BYTES, []
    for heading, found in sentences.parts(result):
        shown = []
        for sentence in found:
            room -= (
                len(escape(f"{sentence.text}{sentence.fix}{sentence.where}").encode())
                + _ARTICLE_BYTES
            )
            shown += [sentence] if room >= 0 else []
        parts.append((heading, shown, len(found) - len(shown)))
    rows = list(matrix.rows(result.audit))
    missing = sentences.not_compared(result)
    page: str = (
        environment()
        .get_template("access.html.jinja")
        .render(
            result=result,
            counts=sentences.counts(result),
            parts=parts,
            missing=missing[:_ROWS],
            words=matrix.WORDS,
            meanings=matrix.MEANINGS,
            rows=rows[:_ROWS],
            more_rows=max(len(rows) - _ROWS, 0),
        )
    )
    return page
