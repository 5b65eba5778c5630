"""Judge the findings that `[allowed_bypasses]` and `[allowed_privileges]` may accept.

An entry has a reason, and the SHA-256 of the definition that was reviewed. The finding of an entry
is an info with the reason. If the definition has changed since, or no entry pins it, the finding is
an error, and shows the entry to write.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg.types.json import Jsonb

from supabase_jobs.database.batch import read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Finding, Id, Severity
from supabase_jobs.settings import FILE_NAME, AllowedEntry, toml_string
from supabase_jobs.verify.areas import ACCESS, STRUCTURE
from supabase_jobs.verify.context import Context, Narrowing

Allowed = Mapping[str, Mapping[str, AllowedEntry]]

_DEFINITIONS = Path(__file__).with_name("definitions.sql")
_PLACEHOLDER = "why this is intended"
_AREAS = {"allowed_bypasses": {STRUCTURE}, "allowed_privileges": {STRUCTURE, ACCESS}}
_FIX_UNUSED = f"Remove the entry from {FILE_NAME}."


@dataclass(frozen=True)
class _Pin:
    """The definition that an entry pins. `restrictive_for`: the command of a restrictive policy, or
    that of a privilege of `roles` that `is_revoked`.
    """

    section: str
    name: str
    sha256: str
    restrictive_for: str | None
    roles: Sequence[str] | None
    is_revoked: bool

    def entry(self, reason: str = _PLACEHOLDER) -> str:
        """The entry as TOML: a table of its own, which can be appended to any file."""
        return (
            f"[{self.section}.{toml_string(self.name)}]\nreason ="
            f' {toml_string(reason)}\nsha256 = "{self.sha256}"\n'
        )


def apply(
    connection: Connection, allowed: Allowed, managed: Sequence[str], context: Context
) -> None:
    """Judge the findings in `Allowed.candidates` that were not judged before, in one round trip if
    there are any.

    `managed` are the names of the managed objects. Needs an empty search_path; only reads catalogs.
    """
    pending = {
        id: parts
        for id, parts in context.allowed.candidates.items()
        if id not in context.allowed.judged
    }
    if not pending or (context.repeated and not any(allowed.values())):
        return
    context.allowed.judged |= pending.keys()
    parameter = Jsonb([{"finding": id, **parts} for id, parts in pending.items()])
    [rows] = read(connection, [sql_file(_DEFINITIONS).statement(parameter, list(managed))])
    pins: dict[str, list[_Pin]] = {}
    for id, *columns in rows:
        pins.setdefault(id, []).append(_Pin(*columns))
    for number, finding in enumerate(context.findings):
        if finding.id in pins:
            context.findings[number] = _judged(finding, pins[finding.id], allowed, context)


def allows_narrowings(allowed: Allowed) -> bool:
    """Whether an entry names a policy or a privilege that was revoked."""
    names = allowed.get("allowed_privileges", {})
    return any(name.startswith("policy ") or ": no " in name for name in names)


def report_unused(allowed: Allowed, areas: Collection[str], context: Context) -> None:
    """Add an info for each entry that no finding has used, if the areas whose findings it can
    accept were checked.
    """
    for section, entries in allowed.items():
        needed = _AREAS[section]
        if not needed <= set(areas) or not needed.isdisjoint(context.unchecked.values()):
            continue
        for name in entries:
            if (section, name) not in context.allowed.used:
                message = f"[{section}] {toml_string(name)} has no effect: no finding needs it"
                id = Id(STRUCTURE, section, name)
                context.findings.append(
                    Finding(
                        id=id,
                        area=STRUCTURE,
                        severity=Severity.INFO,
                        object=FILE_NAME,
                        message=message,
                        fix=_FIX_UNUSED,
                    )
                )


def _judged(finding: Finding, pins: Sequence[_Pin], allowed: Allowed, context: Context) -> Finding:
    """The finding as an info if every pin has an entry; an error if an entry pins another
    definition or none.
    """
    pairs = [(pin, allowed.get(pin.section, {}).get(pin.name)) for pin in pins]
    context.allowed.used |= {(pin.section, pin.name) for pin, entry in pairs if entry}
    wanted = [(pin, entry) for pin, entry in pairs if entry is None or entry.sha256 != pin.sha256]
    if not wanted:
        reasons = "; ".join(dict.fromkeys(entry.reason for _, entry in pairs if entry))
        context.allowed.ids.add(finding.id)
        for pin in pins:
            if pin.restrictive_for is not None and pin.roles is not None:
                policy = Narrowing(
                    object=finding.object,
                    policy=pin.name,
                    command=pin.restrictive_for,
                    roles=frozenset(pin.roles),
                    reason=reasons,
                    is_revoked=pin.is_revoked,
                )
                context.allowed.narrowings.append(policy)
        return replace(
            finding,
            severity=Severity.INFO,
            message=f"{finding.message}; allowed: {reasons}",
            fix="",
        )
    accept = tuple(pin.entry(entry.reason if entry else _PLACEHOLDER) for pin, entry in wanted)
    changes = [_change(pin, entry) for pin, entry in wanted if entry]
    if not changes:
        return replace(finding, accept=accept)
    return replace(
        finding,
        severity=Severity.ERROR,
        message="; ".join([finding.message, *changes]),
        accept=accept,
    )


def _change(pin: _Pin, entry: AllowedEntry) -> str:
    name = f"[{pin.section}] {toml_string(pin.name)}"
    if entry.sha256 is None:
        return f"{name} pins no definition (sha256 {pin.sha256})"
    return (
        f"{name} has changed since it was reviewed (sha256 {entry.sha256}, now"
        f" {pin.sha256}); replace the entry"
    )
