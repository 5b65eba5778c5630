"""The tables of a project whose performance is looked at, and the means to try changes of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from supabase_jobs.audit.callers import ANON, OWNER, Persona
from supabase_jobs.audit.catalog import Catalog, Policy, Relation
from supabase_jobs.audit.performance.hoisting import Functions, hoisted
from supabase_jobs.audit.performance.plans import CATALOG, Change, Planner, Planning, Query
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE
from supabase_jobs.audit.repairs import writes
from supabase_jobs.database.batch import read
from supabase_jobs.database.query_plan import indexes

# an action that reads rows → the statement that its policies for USING decide about
_READS = {SELECT: "select from {}", UPDATE: "select from {} for update", DELETE: "delete from {}"}
# the callers whose requests are planned
_PLANNED = (ANON, OWNER)


@dataclass(frozen=True)
class Index:
    """An index that no index of a table makes unnecessary, and the statement that creates it."""

    relation: Relation
    columns: tuple[str, ...]
    name: str
    statement: str

    @property
    def names(self) -> set[str]:
        """Its name, and those of its parts on partitions."""
        end = "_".join((*self.columns, "idx"))
        return {self.name, *(f"{partition}_{end}" for _, partition in self.relation.partitions)}


@dataclass(frozen=True)
class Context:
    """The tables, the callers whose statements are planned, and the planner."""

    catalog: Catalog
    tables: Sequence[Relation]
    callers: Sequence[Persona]
    planner: Planner

    @cached_property
    def functions(self) -> Functions:
        """The functions that policies call."""
        schemas = sorted({relation.schema for relation in self.tables})
        connection = self.planner.acting.connection
        called, volatile = read(
            connection,
            [
                CATALOG["called_functions"].statement(schemas),
                CATALOG["volatile_functions"].statement(),
            ],
        )
        changing = {
            function.oid
            for function in self.catalog.functions
            if function.volatility == "v" and writes.changed_tables(self.catalog, function)
        }
        found: dict[tuple[str, str], bool] = {}
        for schema, name, oid, is_scalar in called:
            is_hoistable = is_scalar and oid not in changing
            found[schema, name] = found.get((schema, name), True) and is_hoistable
        return Functions(found, frozenset(name for (name,) in volatile))

    def hoisted(self, policy: Policy) -> Policy:
        """A policy in whose expressions calls run once."""
        visible = policy.visible and hoisted(policy.visible, self.functions)
        checked = policy.checked and hoisted(policy.checked, self.functions)
        return Policy(
            name=policy.name,
            command=policy.command,
            permissive=policy.permissive,
            roles=policy.roles,
            visible=visible,
            checked=checked,
        )

    def reads(self, relation: Relation, actions: Iterable[str], policy: Policy) -> list[Query]:
        """The statements of the callers that a policy applies to."""
        found = []
        for action in actions:
            if action == INSERT or not policy.governs(action):
                continue
            statement = sql.SQL(_READS[action]).format(relation.identifier).as_string(None)
            for caller in self.planned:
                if policy.applies_to(caller.role):
                    found.append(Query(statement, caller))
        return found

    @cached_property
    def planned(self) -> Sequence[Persona]:
        """One caller of each API role."""
        found: dict[str, Persona] = {}
        for caller in self.callers:
            if caller.kind in _PLANNED and not caller.operation:
                found.setdefault(caller.role, caller)
        return list(found.values())

    def missing(self, wanted: Sequence[tuple[Relation, tuple[str, ...]]]) -> list[Index]:
        """The indexes that are missing of those that begin with these columns, each once."""
        items = [{"table": table.oid, "columns": list(columns)} for table, columns in wanted]
        statement = CATALOG["missing_indexes"].statement(json.dumps(items))
        [rows] = read(self.planner.acting.connection, [statement])
        found: dict[str, Index] = {}
        for position, name, text in rows:
            table, columns = wanted[position]
            found.setdefault(text, Index(table, columns, name, text))
        return list(found.values())

    def used(self, created: Sequence[Index], queries: Sequence[Query]) -> list[Index]:
        """The indexes that the plans of statements use, if all of these exist.

        The tables are empty in these plans: PostgreSQL does not use an index before the end of a
        transaction that has changed its rows.
        """
        if not created:
            return []
        tables = dict.fromkeys(index.relation for index in created)
        names = sql.SQL(", ").join(table.identifier for table in tables)
        truncate = sql.SQL("truncate {} cascade").format(names)
        changes = [truncate.as_string(None), *(index.statement for index in created)]
        [compared] = self.planner.compare([Change(changes, queries)], Planning.BY_INDEX)
        found = {name for one in (compared or {}).values() for name in indexes(one.after)}
        return [index for index in created if index.names & found]


def altered(relation: Relation, old: Policy, new: Policy) -> str:
    """The statement that gives a policy its new expressions."""
    clauses = []
    if new.visible not in (None, old.visible):
        clauses.append(sql.SQL("using ({})").format(sql.SQL(new.visible or "")))
    if new.checked not in (None, old.checked):
        clauses.append(sql.SQL("with check ({})").format(sql.SQL(new.checked or "")))
    alter = sql.SQL("alter policy {} on {} {};").format(
        sql.Identifier(old.name), relation.identifier, sql.SQL(" ").join(clauses)
    )
    return alter.as_string(None)
