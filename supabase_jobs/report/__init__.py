"""Findings and outcomes → text, JSON, JUnit, SARIF, Markdown, HTML. Pure: values in, one string out."""

from collections.abc import Callable, Mapping
from importlib import import_module

from supabase_jobs.findings import Verification


def _from(module: str) -> Callable[[Verification], str]:
    """The module's `verification`, loaded when it is called: none needs another's library."""

    def write(result: Verification) -> str:
        text: str = import_module(f"{__name__}.{module}").verification(result)
        return text

    return write


FORMATS: Mapping[str, Callable[[Verification], str]] = {
    "text": _from("text"),
    "json": _from("document"),
    "junit": _from("junit"),
    "sarif": _from("sarif"),
    "markdown": _from("markdown"),
    "html": _from("html"),
}
