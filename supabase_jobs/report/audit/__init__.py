"""An audit in a report format. Pure functions: values in, one string out."""

from collections.abc import Callable, Mapping
from importlib import import_module

from supabase_jobs.findings import Audit


def _from(module: str) -> Callable[[Audit], str]:
    """The `audit` function of a module; the first call imports the module and its library."""

    def audit(result: Audit) -> str:
        text: str = import_module(f"{__name__}.{module}").audit(result)
        return text

    return audit


FORMATS: Mapping[str, Callable[[Audit], str]] = {
    "text": _from("text"),
    "json": _from("json"),
    "junit": _from("junit"),
    "sarif": _from("sarif"),
    "markdown": _from("markdown"),
    "html": _from("html"),
    "codequality": _from("codequality"),
}
