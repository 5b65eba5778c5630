"""Reports: a producer makes a Document of a result, and a format writes it."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supabase_jobs.report.document import Document

# text first, because it is the default
_MODULES = {path.stem for path in (Path(__file__).parent / "formats").glob("[a-z]*.py")}
FORMATS = ("text", *sorted(_MODULES - {"text"}))


def load(form: str) -> ModuleType:
    """The module of a format; the first call imports it and its library."""
    return import_module(f"{__name__}.formats.{form}")


def write(document: "Document", form: str) -> str:
    """The document in a format."""
    text: str = load(form).write(document)
    return text
