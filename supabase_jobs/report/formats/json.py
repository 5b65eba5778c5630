"""The JSON document that other programs rely on."""

import json

from supabase_jobs.report.document import Document


def write(document: Document) -> str:
    """The contract of the command as text."""
    return json.dumps(document.contract(), indent=2, ensure_ascii=False) + "\n"
