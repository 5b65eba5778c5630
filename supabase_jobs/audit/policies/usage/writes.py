"""Writes of functions: the rows that they insert, and the columns that they set or copy."""

from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.policies import bodies, expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import Literal, Reference
from supabase_jobs.audit.policies.parse_trees import Node
from supabase_jobs.audit.policies.usage.names import Names
from supabase_jobs.audit.policies.uses import Usage, extend

# the addresses of an account, in a trigger on auth.users
_ADDRESSES = (Reference("new", "email"), Reference("new", "phone"))


class Writes:
    """Notes what the bodies of functions write."""

    def __init__(self, names: Names, usage: Usage) -> None:
        self._names, self._usage = names, usage

    def note_inserted(self, function: Function) -> None:
        """Note the tables and the constants of the rows that a body inserts."""
        body = self._names.bodies[function.oid]
        adds = self._usage.bodies.adds.setdefault(function.oid, set())
        adds |= {
            self._names.by_name[n].oid for n in queries.filled(body) if n in self._names.by_name
        }
        for target, column, node in queries.inserted(body, self._names.columns_of):
            relation, constant = self._names.by_name.get(target), expressions.value(node)
            if relation is not None and isinstance(constant, Literal):
                known = self._usage.constants.inserted.setdefault((relation.oid, column), [])
                extend(known, [constant.text])

    def note_updated(self, function: Function) -> None:
        """Note the columns that a body updates."""
        named = queries.updated(self._names.bodies[function.oid])
        found = ((self._names.by_name.get(target), column) for target, column in named)
        self._usage.bodies.sets[function.oid] = {
            (r.oid, column) for r, column in found if r is not None
        }

    def note_charged(self, function: Function) -> None:
        """Note that a body takes from a number in a row of its caller."""
        own = {oid for oid, _ in self._usage.conditions.own[function.oid]}
        for target, column, node in queries.assigned(self._names.bodies[function.oid]):
            relation = self._names.by_name.get(target)
            is_own = relation is not None and relation.oid in own
            if is_own and queries.is_taken_from(node, column):
                self._usage.bodies.charging.add(function.oid)

    def note_copied(self, function: Function) -> None:
        """Note the columns that a body copies to others, also by a variable."""
        body = self._names.bodies[function.oid]
        scopes = parse_trees.aliases(body)
        values: dict[str, Reference] = {}
        for name, table, column in bodies.variables(function):
            if column:
                values[name] = Reference(table, column)
            else:
                scopes[name] = table
        inserted = queries.inserted(body, self._names.columns_of)
        for target, name, node in (*inserted, *queries.assigned(body)):
            relation, source = self._names.by_name.get(target), expressions.value(node)
            if relation is not None and self._is_address(function, node):
                self._usage.triggers.addresses.add((relation.oid, name))
            if not isinstance(source, Reference) or relation is None:
                continue
            if source.table is None:
                source = values.get(source.column, source)
            key = self._names.column(source, scopes, None) if source.table is not None else None
            if key is not None and key != (relation.oid, name):
                self._usage.bodies.copied.setdefault(key, set()).add((relation.oid, name))

    def _is_address(self, function: Function, node: Node) -> bool:
        """Whether an expression is the address of the new row, or a constant without one, in a
        function for triggers that no table of the project has: then auth.users has it.
        """
        named = {*queries.references([node])}
        is_address = bool(named) and named <= {*_ADDRESSES}
        is_whole = isinstance(expressions.value(node), Reference) or "CoalesceExpr" in node
        if not is_address or not is_whole or function.result != "trigger":
            return False
        tables = self._names.by_name.values()
        return not any(function.oid in relation.triggers for relation in tables)
