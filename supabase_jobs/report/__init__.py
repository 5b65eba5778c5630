"""A verification as text, JSON, JUnit, SARIF, Code Quality, Markdown or HTML. Values in, one string
out.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supabase_jobs.findings import Verification


def _from(module: str) -> "Callable[[Verification], str]":
    """The `verification` function of a module, imported with its library by the first call."""

    def verification(result: "Verification") -> str:
        text: str = import_module(f"{__name__}.{module}").verification(result)
        return text

    return verification


FORMATS: "Mapping[str, Callable[[Verification], str]]" = {
    "text": _from("text"),
    "json": _from("json"),
    "junit": _from("junit"),
    "sarif": _from("sarif"),
    "markdown": _from("markdown"),
    "html": _from("html"),
    "codequality": _from("codequality"),
}
