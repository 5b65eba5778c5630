"""Findings and outcomes → text, JSON, Markdown. Pure: values in, one string out."""

from collections.abc import Callable, Mapping

from supabase_jobs.findings import Verification
from supabase_jobs.report import document, markdown, text

FORMATS: Mapping[str, Callable[[Verification], str]] = {
    "text": text.verification,
    "json": document.verification,
    "markdown": markdown.verification,
}
