"""Columns of the row that says what a person may do, such as a zone, which policies compare with a
column of one table, and not with that of another one which has it, or refers to a row with it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Catalog, Relation
from supabase_jobs.audit.policies.uses import Usage


@dataclass(frozen=True)
class OneTable:
    """A column of the `table` of persons that is compared with one of `compared`, and that no
    policy for writes of `other` names.
    """

    table: str
    column: str
    compared: str
    other: str


def find(catalog: Catalog, usage: Usage, giving: Collection[int]) -> Iterator[OneTable]:
    """One for each column and other table; `giving` are the tables whose rows give rights."""
    found = dict[OneTable, None]()
    for (oid, name), equal in usage.equated.items():
        persons = catalog.by_oid[oid]
        if oid not in giving or not _is_free(persons, name):
            continue
        for other_oid, other_name in sorted(equal):
            compared = catalog.by_oid[other_oid]
            if compared is persons or not _is_free(compared, other_name):
                continue
            for table in catalog.tables:
                if table in (persons, compared) or oid not in usage.reads.get(table.oid, ()):
                    continue
                words = usage.policies.write_words.get(table.oid, set())
                has = any(other_name in one.by_name for one in _shown(catalog, table, persons))
                if has and words.isdisjoint((name, other_name)):
                    one = OneTable(persons.label, name, compared.label, table.label)
                    found.setdefault(one)
    yield from found


def _is_free(relation: Relation, name: str) -> bool:
    """Whether a column belongs to no key, which would name a row, such as that of a group."""
    keys = [key.columns for key in relation.foreign_keys]
    return not any(name in columns for columns in (*keys, *relation.unique_keys))


def _shown(catalog: Catalog, relation: Relation, persons: Relation) -> Iterator[Relation]:
    """A table, and those to which it refers, without that of the persons."""
    yield relation
    for key in relation.foreign_keys:
        target = catalog.by_oid.get(key.target or 0)
        if target is not None and target is not persons:
            yield target
