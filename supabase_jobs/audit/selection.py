"""The part of a database that an audit tries: all that requests reach, or a selection of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from supabase_jobs.audit import access, catalog
from supabase_jobs.audit.options import Options
from supabase_jobs.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Selection:
    """The relations that requests reach, and those `beyond_reach`, whose policies are judged only;
    the functions that requests may call (`exposed`), and those that the audit calls.
    """

    relations: Sequence[catalog.Relation]
    beyond_reach: Sequence[catalog.Relation]
    exposed: Sequence[catalog.Function]
    called: Sequence[catalog.Function]

    @property
    def judged(self) -> list[catalog.Relation]:
        """All relations that leaks are looked for in."""
        return [*self.relations, *self.beyond_reach]

    @property
    def views(self) -> list[catalog.Relation]:
        """The views of both kinds."""
        return [r for r in self.relations if r.kind in ("v", "m")]


def find(found: catalog.Catalog, options: Options) -> Selection:
    """The part of a database that the options select."""
    exposed = access.reachable_functions(found)
    return Selection(
        relations=[r for r in found.reachable if selected(r, options)],
        beyond_reach=_unreachable(found, options),
        exposed=exposed,
        called=[f for f in exposed if _callable(f, options)],
    )


def check(options: Options, *catalogs: catalog.Catalog) -> None:
    """Raise ConfigError for a schema or table that an option or audit.toml names, and none of the
    databases has.
    """
    options.files.configuration.check(*catalogs)
    if unknown := set(options.schemas) - {
        name for found in catalogs for name in found.schema_users
    }:
        raise ConfigError(f"--schema: no schema {min(unknown)!r} in the database")
    names = {name for found in catalogs for r in found.relations for name in (r.label, r.name)}
    if unknown := set(options.tables) - names:
        raise ConfigError(
            f"--table: no table {min(unknown)!r} in the database", hint="Write schema.table."
        )


def selected(relation: catalog.Relation, options: Options) -> bool:
    """Whether the options select a relation."""
    if relation.label in options.files.configuration.excluded:
        return False
    in_schema = not options.schemas or relation.schema in options.schemas
    return in_schema and (
        not options.tables or relation.label in options.tables or relation.name in options.tables
    )


def _unreachable(found: catalog.Catalog, options: Options) -> list[catalog.Relation]:
    """The tables of served schemas for which no role of a request has a privilege: what their
    policies permit is refused.
    """
    return [
        relation
        for relation in found.tables
        if relation.schema in found.served
        and relation not in found.reachable
        and selected(relation, options)
    ]


def _callable(function: catalog.Function, options: Options) -> bool:
    """Whether the options allow calls of a function."""
    return (
        options.functions
        and not options.tables
        and (not options.schemas or function.schema in options.schemas)
    )
