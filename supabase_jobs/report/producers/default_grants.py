"""The document of an audit, with the changes by the other state of the default privileges."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from supabase_jobs.findings import DefaultGrants
from supabase_jobs.report.document import Document, Findings, Omissions, Section
from supabase_jobs.report.producers import access, audit

# kinds of changes → heading
_PARTS: Mapping[str, tuple[str, ...]] = {
    "Broken access": ("narrower", "removed", "closed"),
    "Wider access": ("wider", "new", "leak"),
}


def document(result: DefaultGrants) -> Document:
    """The audit of the state that holds, then the changes and the matrix of the other."""
    found = audit.document(result.audit)
    return replace(
        found,
        sections=(*found.sections, *_sections(result)),
        contract=lambda: contract(result),
    )


def contract(result: DefaultGrants) -> Mapping[str, object]:
    """The contract of an audit, with `other_default_grants`: the changes and the matrix."""
    other = audit.contract(result.difference.audit)
    return {
        **audit.contract(result.audit),
        "other_default_grants": {
            "default_grants": other["default_grants"],
            "changes": access.contract(result.difference)["changes"],
            "not_compared": access.contract(result.difference)["not_compared"],
            "access": other["access"],
            "matrix": other["matrix"],
        },
    }


def _sections(result: DefaultGrants) -> Iterator[Section]:
    difference = result.difference
    state = f"with {difference.after}"
    for heading, kinds in _PARTS.items():
        title = f"{heading} {state}"
        entries = access.entries(difference, *kinds)
        if entries:
            yield Findings(
                title=title, entries=tuple(replace(entry, label=f"{title}: ") for entry in entries)
            )
    if missing := tuple(access.omissions(difference)):
        yield Omissions(title="Not compared", label="? ", items=missing)
    matrix = audit.access(difference.audit, with_attempts=False)
    if matrix.rows:
        yield replace(
            matrix,
            title=f"Who can do what {state}",
            anchor="other",
            heading=f"{matrix.heading} {state}",
            text_heading=f"table {state}",
            intro=(),
        )
