"""What the reports share: the parts of a difference, and one sentence for the cells that change
alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from supabase_jobs.findings import AccessChange, AccessDiff, Location, NotCompared, Severity
from supabase_jobs.report.audit.converted import policy_location
from supabase_jobs.report.wording import counted

# kinds of changes → heading, in the order of the report
PARTS: Mapping[str, tuple[str, ...]] = {
    "Wider access": ("wider",),
    "New objects": ("new",),
    "New leaks": ("leak",),
    "Narrower access": ("narrower",),
    "Removed objects": ("removed",),
    "Closed leaks": ("closed",),
}
_CELLS = ("wider", "narrower")


@dataclass(frozen=True)
class Sentence:
    """Changes of one object with one cause, in one sentence. `location` is the line of the policy
    or the object.

    `fix` is that of the most general caller.
    """

    change: str
    severity: Severity
    object: str
    text: str
    cause: str
    fix: str
    location: Location | None

    @property
    def where(self) -> str:
        """The cause with its line; '' if nothing is known."""
        line = f"{self.location.file}:{self.location.line}" if self.location else ""
        return f"{self.cause} ({line})" if self.cause and line else self.cause or line


def parts(diff: AccessDiff) -> Iterator[tuple[str, list[Sentence]]]:
    """(heading, sentences) of each part that has changes."""
    for heading, kinds in PARTS.items():
        if changes := diff.of(*kinds):
            yield heading, list(sentences(diff, changes))


def sentences(diff: AccessDiff, changes: Iterable[AccessChange]) -> Iterator[Sentence]:
    """The changes, those of the same callers and of the same actions together."""
    # the actions of each caller on an object, then the callers with the same actions
    by_caller: dict[tuple[str, ...], list[AccessChange]] = {}
    for change in changes:
        alone = "" if change.change in _CELLS else change.id
        key = (change.change, change.severity, change.object, change.caller, change.cause, alone)
        by_caller.setdefault(key, []).append(change)
    by_actions: dict[tuple[object, ...], list[list[AccessChange]]] = {}
    for (kind, severity, name, _caller, cause, alone), group in by_caller.items():
        actions = tuple(change.action for change in group)
        by_actions.setdefault(
            (kind, severity, name, cause, alone, actions, group[0].rows), []
        ).append(group)
    for groups in by_actions.values():
        first = groups[0][0]
        text = first.message
        if first.change in _CELLS:
            can = "can now" if first.change == "wider" else "can no longer"
            text = (
                f"{joined(g[0].who for g in groups)} {can}"
                f" {joined(c.verb for c in groups[0])} {first.target}"
            )
        line = (
            None
            if first.change in ("removed", "closed")
            else policy_location(diff.audit, first.object, first.policies)
        )
        yield Sentence(
            first.change, first.severity, first.object, text, first.cause, first.fix, line
        )


def not_compared(diff: AccessDiff) -> list[tuple[str, str]]:
    """(objects, why) of what was tested on one side only, those with the same reason together."""
    found: dict[tuple[str, str], list[NotCompared]] = {}
    for item in diff.not_compared:
        found.setdefault((item.untested, item.why), []).append(item)
    shown = []
    for (untested, why), items in found.items():
        names = dict.fromkeys(_cell(item) for item in items)
        side = (
            "on either side"
            if untested == "both"
            else f"for {diff.before if untested == 'before' else diff.after}"
        )
        shown.append((", ".join(names), f"not tested {side}: {why}"))
    return shown


def counts(diff: AccessDiff) -> str:
    """`2 cells wider, 1 new object, 0 cells narrower`, and what else there is."""
    wider, narrower, new = len(diff.of("wider")), len(diff.of("narrower")), len(diff.of("new"))
    found = [f"{counted(wider, 'cell')} wider", counted(new, "new object")]
    found.append(f"{counted(narrower, 'cell')} narrower")
    others = (("removed", "removed object"), ("leak", "new leak"), ("closed", "closed leak"))
    found += [counted(len(diff.of(kind)), noun) for kind, noun in others if diff.of(kind)]
    found += [f"{len(diff.not_compared)} not compared"] if diff.not_compared else []
    return ", ".join(found)


def joined(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = dict.fromkeys(names)
    return f"{', '.join(first)} and {last}" if first else last


def _cell(item: NotCompared) -> str:
    access = f" ({item.caller}: {item.access})" if item.caller else ""
    return f"{item.object}{access}"
