"""Uses that are known from elsewhere: of another database, or of recorded states of rows."""

from collections.abc import Iterable, Mapping

from supabase_jobs.audit.catalog import Catalog, Relation
from supabase_jobs.audit.policies.paths import Path
from supabase_jobs.audit.policies.uses import ColumnKey, Usage, extend
from supabase_jobs.findings import AccessObject, Holds


def add(found: Usage, catalog: Catalog, other: Usage, source: Catalog) -> None:
    """Add what the policies of another database mention, as far as its tables and columns exist in
    this one.
    """
    places = _Places(catalog, source)
    _add_columns(found, other, places)
    _add_request(found, other, places)
    _add_constants(found, other, places)
    extend(found.paths, [path for path in other.paths if _exists(path, places.by_label)])
    for oid, read in other.reads.items():
        if (relation := places.here(oid)) is not None:
            same = {r.oid for r in map(places.here, read) if r is not None}
            # a relation of another schema, which has no label, exists in this database only
            found.reads.setdefault(relation.oid, set()).update(read if source is catalog else same)


class _Places:
    """Where the tables and columns of another database are in this one."""

    def __init__(self, catalog: Catalog, source: Catalog) -> None:
        self.by_label = {relation.label: relation for relation in catalog.relations}
        self._source = source

    def here(self, oid: int) -> Relation | None:
        """The relation with the name of that of the other database."""
        relation = self._source.by_oid.get(oid)
        return None if relation is None else self.by_label.get(relation.label)

    def keys(self, given: Iterable[ColumnKey]) -> set[ColumnKey]:
        """The columns that exist here."""
        same = ((self.here(oid), column) for oid, column in given)
        return {
            (relation.oid, column)
            for relation, column in same
            if relation and column in relation.by_name
        }


def _add_columns(found: Usage, other: Usage, places: _Places) -> None:
    """Add the columns with persons, and those that conditions mention."""
    found.mentions.words |= other.mentions.words
    for into, given in (
        (found.persons.users, other.persons.users),
        (found.persons.checked, other.persons.checked),
        (found.persons.updating, other.persons.updating),
        (found.persons.owners, other.persons.owners),
        (found.persons.compared, other.persons.compared),
        (found.mentions.mentioned, other.mentions.mentioned),
        (found.mentions.nulls, other.mentions.nulls),
        (found.mentions.presences, other.mentions.presences),
    ):
        into |= places.keys(given)
    for known, more in (
        (found.mentions.together, other.mentions.together),
        (found.equated, other.equated),
    ):
        for column, others in more.items():
            for key in places.keys([column]):
                known.setdefault(key, set()).update(places.keys(others))


def _add_request(found: Usage, other: Usage, places: _Places) -> None:
    """Add the claims, headers and operations of a request."""
    found.request.present_claims |= other.request.present_claims
    found.request.without_value |= places.keys(other.request.without_value)
    for path, columns in other.request.claims.items():
        found.request.claims.setdefault(path, set()).update(places.keys(columns))
    for path, before in other.request.preferred.items():
        found.request.preferred.setdefault(path, set()).update(before)
    for header, columns in other.request.headers.items():
        found.request.headers.setdefault(header, set()).update(places.keys(columns))
    for column, functions in other.request.hashing.items():
        found.request.hashing |= dict.fromkeys(places.keys([column]), functions)
    for path, texts in other.request.claim_literals.items():
        extend(found.request.claim_literals.setdefault(path, []), texts)
    for header, texts in other.request.header_literals.items():
        extend(found.request.header_literals.setdefault(header, []), texts)
    extend(found.request.operations, other.request.operations)


def _add_constants(found: Usage, other: Usage, places: _Places) -> None:
    """Add the constants that columns are compared with."""
    found.constants.ascending |= places.keys(other.constants.ascending)
    for into, given in (
        (found.constants.literals, other.constants.literals),
        (found.constants.selected, other.constants.selected),
        (found.constants.equal, other.constants.equal),
        (found.constants.inserted, other.constants.inserted),
    ):
        for column, texts in given.items():
            for key in places.keys([column]):
                extend(into.setdefault(key, []), texts)


def _exists(path: Path, by_label: Mapping[str, Relation]) -> bool:
    """Whether a database has the tables and columns of a path."""
    return all(
        label in by_label and by_label[label].by_name.keys() >= path.columns(row)
        for row, label in enumerate(path.tables)
    )


def add_states(found: Usage, catalog: Catalog, objects: Iterable[AccessObject]) -> None:
    """Add the columns and values of states.

    A state that the access was recorded for is tried also if no policy mentions it any more.
    """
    by_label = {relation.label: relation for relation in catalog.tables}
    for one in objects:
        relation = by_label.get(one.label)
        if relation is None or one.state is None:
            continue
        keys = set[ColumnKey]()
        for column in one.state.columns:
            of = (
                next((r for r in catalog.tables if r.name == column.table), None)
                if column.table
                else relation
            )
            if of is None or column.name not in of.by_name or column.depth:
                continue
            key = of.oid, column.name
            keys.add(key)
            found.reads.setdefault(relation.oid, set()).add(of.oid)
            if column.holds in (Holds.SET, Holds.NULL):
                found.mentions.presences.add(key)
            if column.value and of.by_name[column.name].base != "bool":
                extend(found.constants.literals.setdefault(key, []), [column.value])
        found.mentions.mentioned |= keys
        for key in keys:
            found.mentions.together.setdefault(key, set()).update(keys)
