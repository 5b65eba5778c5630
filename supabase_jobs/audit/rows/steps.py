"""The order in which rows are inserted: those to which others refer first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Catalog, Constraint, Relation


@dataclass(frozen=True)
class Step:
    """The tables of one level. `later` are the foreign keys that are filled after all levels, to
    break cycles.

    Until then they are null; if they must not be, they have a value without a row, and their check
    is deferred.
    """

    relations: tuple[Relation, ...]
    later: Mapping[int, tuple[Constraint, ...]]


def is_deferred(relation: Relation, key: Constraint) -> bool:
    """Whether a foreign key that closes a cycle can only be filled later because its check can be
    deferred.
    """
    return key.deferrable and any(relation.by_name[c].not_null for c in key.columns)


def steps_of(catalog: Catalog) -> list[Step]:
    """Levels of tables, parents first. In a cycle, a nullable or deferrable foreign key is filled
    later.

    In a level, tables that others refer to come first: a table beside them changes no number of
    their rows.
    """
    referred = {k.target for r in catalog.tables for k in r.foreign_keys if k.target != r.oid}
    waiting = {r.oid: r for r in catalog.tables}
    done: set[int] = set()
    steps: list[Step] = []
    later: dict[int, list[Constraint]] = {}

    def blocking(relation: Relation) -> list[Constraint]:
        skipped = later.get(relation.oid, [])
        return [
            k
            for k in relation.foreign_keys
            if k.target in waiting and k.target != relation.oid and k not in skipped
        ]

    while waiting:
        ready = [r for r in waiting.values() if not blocking(r)]
        ready.sort(key=lambda r: r.oid not in referred)
        if not ready:
            choices = sorted(waiting.values(), key=lambda r: _cost(r, blocking(r)))
            later.setdefault(choices[0].oid, []).extend(blocking(choices[0]))
            continue
        steps.append(Step(tuple(ready), {r.oid: tuple(later.get(r.oid, ())) for r in ready}))
        for relation in ready:
            del waiting[relation.oid]
            done.add(relation.oid)
    return steps


def _cost(relation: Relation, keys: Sequence[Constraint]) -> tuple[int, int, int, str]:
    """Prefer the table whose blocking foreign keys are nullable, or else deferrable, and few."""
    not_null = {column.name for column in relation.columns if column.not_null}
    required = [key for key in keys if not not_null.isdisjoint(key.columns)]
    return sum(not key.deferrable for key in required), len(required), len(keys), relation.label
