"""What migrations change in the access, in a report format. Pure functions: values in, one string
out.
"""

from collections.abc import Callable, Mapping
from importlib import import_module

from supabase_jobs.findings import AccessDiff


def _from(module: str) -> Callable[[AccessDiff], str]:
    """The `diff` function of a module; the first call imports the module and its library."""

    def diff(result: AccessDiff) -> str:
        text: str = import_module(f"{__name__}.{module}").diff(result)
        return text

    return diff


FORMATS: Mapping[str, Callable[[AccessDiff], str]] = {
    "text": _from("text"),
    "json": _from("json"),
    "junit": _from("junit"),
    "sarif": _from("sarif"),
    "markdown": _from("markdown"),
    "html": _from("html"),
    "codequality": _from("codequality"),
}
