"""The uses of columns in policies and functions: whose id a column holds, which claims and
headers are compared with it, which constants; and which tables the policies of a table read.
"""

import re
from collections.abc import Mapping

from supabase_jobs.audit.catalog import Catalog, Function
from supabase_jobs.audit.policies import expressions, queries
from supabase_jobs.audit.policies.path_reader import paths
from supabase_jobs.audit.policies.usage.arguments import Arguments
from supabase_jobs.audit.policies.usage.comparisons import Comparisons
from supabase_jobs.audit.policies.usage.conditions import Conditions
from supabase_jobs.audit.policies.usage.names import Names
from supabase_jobs.audit.policies.usage.policies import Policies
from supabase_jobs.audit.policies.usage.secrets import SecretColumns
from supabase_jobs.audit.policies.usage.triggers import Triggers
from supabase_jobs.audit.policies.usage.writes import Writes
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.audit.words import Words
from supabase_jobs.database.parser import syntax

# how a body names the users of Auth, and its caller: by a claim, a header or the role
_AUTH_USERS = re.compile(r"\bauth\W+users\b")
_CALLER = re.compile(
    r"\bauth\W+(uid|jwt|role|email)\b|\brequest\.(jwt|header|cookie)|\bcurrent_role\b",
    re.IGNORECASE,
)


def usage(catalog: Catalog, words: Words) -> Usage:
    """Read every policy, and every function that a policy or a request can call."""
    return _Reader(catalog, words).read()


class _Reader:
    def __init__(self, catalog: Catalog, words: Words) -> None:
        self._catalog, self._found = catalog, Usage()
        names, found = Names(catalog), self._found
        self._names = names
        self._comparisons = Comparisons(names, found)
        self._policies = Policies(names, found, words, self._comparisons)
        self._arguments = Arguments(names, found, self._comparisons)
        self._writes = Writes(names, found)
        self._conditions = Conditions(names, found)
        self._secrets = SecretColumns(names, found, words, self._arguments)
        self._triggers = Triggers(names, found, self._policies)

    def read(self) -> Usage:
        """The uses of columns in the policies and functions of the catalog."""
        for relation in self._catalog.tables:
            self._policies.note_users(relation)
        direct = self._read_relations()
        for function in self._catalog.functions:
            self._read_function(function)
        self._arguments.note_passed_on()
        self._arguments.note_taken(self._policies.passed)
        for relation in self._catalog.tables:
            self._triggers.note_triggers(relation)
            self._triggers.note_frozen(relation)
        self._arguments.note_passed()
        self._found.reads = _closed(direct)
        self._secrets.note_narrowed()
        self._policies.note_flags()
        self._found.paths = paths(self._catalog)
        return self._found

    def _read_relations(self) -> dict[int, set[int]]:
        """Read the policies of tables and the queries of views; the tables that each one reads."""
        direct: dict[int, set[int]] = {}
        for relation in self._catalog.relations:
            direct[relation.oid] = {relation.oid, *relation.reads}
            self._found.policies.selecting[relation.oid] = [*self._policies.conditions(relation)]
            if relation.definition:
                query = syntax.parse(relation.definition) or []
                self._found.bodies.callees[relation.oid] = self._names.called(query)
            for policy in relation.policies:
                for text in (policy.visible, policy.checked):
                    if text is not None:
                        direct[relation.oid] |= self._policies.note_policy(relation, policy, text)
        return direct

    def _read_function(self, function: Function) -> None:
        """Read the body of a function."""
        found, names, body = self._found, self._names, self._names.bodies[function.oid]
        found.mentions.words |= names.words[function.signature]
        compared = list(expressions.comparisons(names.expanded(body), names.lookup))
        conditions = list(queries.conditions(body))
        by_query = [list(expressions.comparisons(query, names.lookup)) for query in conditions]
        queried = [comparison for query in by_query for comparison in query]

        self._comparisons.note(compared, None)
        self._writes.note_inserted(function)
        self._writes.note_updated(function)
        self._writes.note_copied(function)
        self._arguments.note_arguments(function, compared)
        self._secrets.note_proofs(function, by_query)
        self._secrets.note_bearers(function, by_query)
        self._secrets.note_masked(function)
        self._conditions.note_tested(function, conditions)
        self._conditions.note_demands(function, conditions, queried)
        self._conditions.note_caller_and_time(function, queried)
        self._writes.note_charged(function)
        self._conditions.note_refusing(function)
        self._conditions.note_capacities(function)
        self._read_callees(function)

    def _read_callees(self, function: Function) -> None:
        """Read what a body names, directly or by the functions that it calls."""
        found, names, body = self._found, self._names, self._names.bodies[function.oid]
        found.bodies.callees[function.oid] = names.called(body)
        tables = names.tables(body, {function.oid}) | names.mentioned(function)
        found.bodies.function_reads[function.oid] = tables
        if names.contains(function, _AUTH_USERS, {function.oid}):
            found.bodies.user_functions.add(function.oid)
        if names.contains(function, _CALLER, {function.oid}):
            found.conditions.asking.add(function.oid)


def _closed(direct: Mapping[int, set[int]]) -> dict[int, set[int]]:
    """Everything that is reachable from each relation."""
    closed: dict[int, set[int]] = {}
    for start in direct:
        found, waiting = set[int](), [start]
        while waiting:
            oid = waiting.pop()
            if oid not in found:
                found.add(oid)
                waiting += direct.get(oid, ())
        closed[start] = found
    return closed
