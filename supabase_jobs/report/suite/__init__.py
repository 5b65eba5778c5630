"""The result of `mutate --run` in a report format. Pure functions: values in, one string out."""

from collections.abc import Callable, Mapping
from importlib import import_module

from supabase_jobs.findings import SuiteMutation


def _from(module: str) -> Callable[[SuiteMutation], str]:
    """The `mutation` function of a module; the first call imports the module and its library."""

    def mutation(result: SuiteMutation) -> str:
        text: str = import_module(f"{__name__}.{module}").mutation(result)
        return text

    return mutation


FORMATS: Mapping[str, Callable[[SuiteMutation], str]] = {
    "text": _from("text"),
    "json": _from("json"),
    "markdown": _from("markdown"),
    "html": _from("html"),
    "junit": _from("junit"),
}
