"""The drift of a database in a report format. Values in, one string out."""

from collections.abc import Callable, Mapping
from importlib import import_module

from supabase_jobs.findings import Drift


def _from(module: str) -> Callable[[Drift], str]:
    """The `drift` function of a module; the first call imports the module and its library."""

    def drift(result: Drift) -> str:
        text: str = import_module(f"{__name__}.{module}").drift(result)
        return text

    return drift


def _converted(form: str) -> Callable[[Drift], str]:
    """The report of a verification with the same findings."""

    def drift(result: Drift) -> str:
        from supabase_jobs.report import FORMATS as VERIFICATION_FORMATS
        from supabase_jobs.report.drift.converted import converted

        return VERIFICATION_FORMATS[form](converted(result))

    return drift


FORMATS: Mapping[str, Callable[[Drift], str]] = {
    "text": _from("text"),
    "json": _from("json"),
    "junit": _converted("junit"),
    "sarif": _converted("sarif"),
    "markdown": _converted("markdown"),
    "html": _converted("html"),
    "codequality": _converted("codequality"),
}
