"""References without a foreign key: columns that conditions compare with the key of a table, or
with a column that refers to one.

So the rows of a table with `club_id uuid` belong to a club if a policy asks `is_member(club_id)`,
and this function compares its argument with a column that has a foreign key to clubs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from supabase_jobs.audit.catalog import Catalog, Column, Constraint, Relation
from supabase_jobs.audit.policies.uses import ColumnKey, Usage
from supabase_jobs.audit.rows import values


def with_references(catalog: Catalog, usage: Usage) -> Catalog:
    """The catalog with the references of its tables that no foreign key demands."""
    finder = _Finder(catalog, usage)
    found = {relation.oid: finder.of(relation) for relation in catalog.tables}
    if not any(found.values()):
        return catalog
    relations = (
        replace(r, constraints=(*r.constraints, *found[r.oid])) if found.get(r.oid) else r
        for r in catalog.relations
    )
    return replace(catalog, relations=tuple(relations))


class _Finder:
    """Finds references. They close no cycle: a row above another one is inserted first."""

    def __init__(self, catalog: Catalog, usage: Usage) -> None:
        self._catalog, self._usage = catalog, usage
        self._above = {relation.oid: _above(relation) for relation in catalog.tables}

    def of(self, relation: Relation) -> list[Constraint]:
        """The references of a table: those of several columns, then those of the other columns."""
        known = {name for key in relation.foreign_keys for name in key.columns}
        found = [key for key in self._of_several(relation) if not known.issuperset(key.columns)]
        known.update(name for key in found for name in key.columns)
        columns = [c for c in relation.columns if c.name not in known]
        found += [key for column in columns for key in self._of_one(relation, column)]
        kept = []
        for key in found:
            if key.target is not None and not self._is_above(relation.oid, key.target):
                self._above[relation.oid].add(key.target)
                kept.append(key)
        return kept

    def _of_one(self, relation: Relation, column: Column) -> Iterator[Constraint]:
        """The reference of one column, if all that it is compared with leads to the same key."""
        if self._is_known(relation, column):
            return
        others = self._usage.equated.get((relation.oid, column.name), ())
        keys = {key for other in others for key in self._keys(other)}
        if len(keys) == 1:
            oid, name = keys.pop()
            target = self._catalog.by_oid[oid]
            if oid != relation.oid and _is_same_type(column, target.by_name[name]):
                yield _reference(target, [column.name], [name])

    def _of_several(self, relation: Relation) -> Iterator[Constraint]:
        """The references by keys of several columns, each of which a column is compared with."""
        for target in self._catalog.tables:
            key = target.primary_key
            if target is relation or len(key) < 2:
                continue
            columns = [self._equal_to(relation, (target.oid, name)) for name in key]
            names = [column.name for column in columns if column is not None]
            if len(set(names)) == len(key):
                yield _reference(target, names, key)

    def _equal_to(self, relation: Relation, other: ColumnKey) -> Column | None:
        """The only column of a table that is compared with this one."""
        equal = self._usage.equated.get(other, ())
        at = self._catalog.by_oid[other[0]].by_name[other[1]]
        found = [
            column
            for column in relation.columns
            if (relation.oid, column.name) in equal and _is_same_type(column, at)
        ]
        return found[0] if len(found) == 1 else None

    def _keys(self, column: ColumnKey) -> Iterator[ColumnKey]:
        """The primary key of one column that a column is, or refers to, directly or not."""
        seen = set[ColumnKey]()
        while column not in seen:
            seen.add(column)
            oid, name = column
            relation = self._catalog.by_oid[oid]
            above = next(_targets(relation, name), None)
            if above is None or above[0] not in self._catalog.by_oid:
                break
            column = above
        relation = self._catalog.by_oid[column[0]]
        is_key = relation in self._catalog.tables and relation.primary_key == (column[1],)
        if is_key and column not in self._usage.persons.users:
            yield column

    def _is_known(self, relation: Relation, column: Column) -> bool:
        """Whether the value of a column follows from something else: the server, the user, or the
        request.
        """
        usage, key = self._usage, (relation.oid, column.name)
        is_of_request = key in usage.claim_columns or key in usage.header_columns
        return column.differs_in_each_run or is_of_request or key in usage.persons.users

    def _is_above(self, oid: int, other: int) -> bool:
        """Whether rows of the other table are below rows of the first one, or both are the same."""
        seen, waiting = set[int](), [other]
        while waiting:
            current = waiting.pop()
            if current == oid:
                return True
            if current not in seen:
                seen.add(current)
                waiting += self._above.get(current, ())
        return False


def _above(relation: Relation) -> set[int]:
    """The tables to which the foreign keys of a table refer."""
    return {key.target for key in relation.foreign_keys if key.target is not None}


def _targets(relation: Relation, column: str) -> Iterator[ColumnKey]:
    """The columns to which the foreign keys of a column refer; those of one column first."""
    keys = sorted(relation.foreign_keys, key=lambda key: len(key.columns))
    for key in keys:
        if column in key.columns and key.target is not None:
            yield key.target, key.target_columns[key.columns.index(column)]


def _is_same_type(column: Column, other: Column) -> bool:
    both = {column.base, other.base}
    return len(both) == 1 or both <= {*values.INTEGERS}


def _reference(target: Relation, columns: Sequence[str], at: Sequence[str]) -> Constraint:
    return Constraint(
        name=", ".join(columns),
        kind="r",
        columns=tuple(columns),
        target=target.oid,
        target_name=target.label,
        target_columns=tuple(at),
        definition=None,
        deferrable=False,
    )
