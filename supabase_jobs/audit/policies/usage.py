"""The uses of columns in policies and functions: whose id a column holds, which claims and
headers are compared with it, which constants; and which tables the policies of a table read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, TypeVar

from supabase_jobs.audit.catalog import USERS, Catalog, Function, Policy, Relation
from supabase_jobs.audit.policies import bodies, expressions
from supabase_jobs.audit.policies.expressions import (
    NOW,
    USER_ID,
    Claim,
    Comparison,
    Header,
    Literal,
    Node,
    Now,
    Operation,
    Reference,
    Selected,
    Trees,
    Value,
)
from supabase_jobs.audit.policies.paths import Path, paths
from supabase_jobs.audit.policies.uses import ColumnKey, Condition, Moment, Usage
from supabase_jobs.audit.words import Words
from supabase_jobs.database.parser import syntax
from supabase_jobs.findings import AccessObject, Holds

_Item = TypeVar("_Item", str, ColumnKey, Path)

# more than an interval that is no constant
_LONG = timedelta(days=3653)


# how a body names the users of Auth, and its caller: by a claim, a header or the role
_AUTH_USERS = re.compile(r"\bauth\W+users\b")
_CALLER = re.compile(
    r"\bauth\W+(uid|jwt|role|email)\b|\brequest\.(jwt|header|cookie)|\bcurrent_role\b",
    re.IGNORECASE,
)
# the conditions of a body in PL/pgSQL, and the columns of the new row in them
CONDITION = re.compile(r"\bif\b(.*?)\bthen\b", re.IGNORECASE | re.DOTALL)
NEW = re.compile(r'\bnew\."?(\w+)', re.IGNORECASE)
OLD = re.compile(r'\bold\."?(\w+)', re.IGNORECASE)
_UNEQUAL = re.compile(r'\bnew\."?(\w+)"?\s*(?:<>|!=)\s*old\."?\1\b', re.IGNORECASE)
# a condition that raises an error if it holds, and one that holds if there is no row
_RAISING = re.compile(
    r"\bif\b((?:(?!\bif\b|\bthen\b).)*)\bthen\s+raise\b", re.IGNORECASE | re.DOTALL
)
_ABSENT = re.compile(r"\bnot\b|\bis\s+null\b|<>|!=", re.IGNORECASE)
# how a body refuses a row, sets a column of the new one, and takes it if it is not null
REFUSAL = re.compile(r"\braise\s+(exception|sqlstate|')", re.IGNORECASE)
_SET = re.compile(r'(?:;|\bthen|\belse|\bbegin)\s*new\."?(\w+)"?\s*:?=', re.IGNORECASE)
_COALESCED = re.compile(r'\bcoalesce\s*\(\s*new\."?\w+', re.IGNORECASE)
# types of columns that may hold a user's id where no policy and no foreign key shows it
_USER_TYPES = ("uuid", "text", "varchar")
# the operators of comparisons that order values
_ORDERING = ("<", "<=", ">", ">=")


def usage(catalog: Catalog, words: Words) -> Usage:
    """Read every policy, and every function that a policy or a request can call."""
    return _Reader(catalog, words).read()


def add(found: Usage, catalog: Catalog, other: Usage, source: Catalog) -> None:
    """Add what the policies of another database mention, as far as its tables and columns exist in
    this one.
    """
    by_label = {relation.label: relation for relation in catalog.relations}

    def here(oid: int) -> Relation | None:
        relation = source.by_oid.get(oid)
        return None if relation is None else by_label.get(relation.label)

    def keys(given: Iterable[ColumnKey]) -> set[ColumnKey]:
        same = ((here(oid), column) for oid, column in given)
        return {
            (relation.oid, column)
            for relation, column in same
            if relation and column in relation.by_name
        }

    found.mentions.words |= other.mentions.words
    found.request.present_claims |= other.request.present_claims
    for into, given in (
        (found.persons.users, other.persons.users),
        (found.persons.checked, other.persons.checked),
        (found.persons.updating, other.persons.updating),
        (found.persons.owners, other.persons.owners),
        (found.persons.compared, other.persons.compared),
        (found.mentions.mentioned, other.mentions.mentioned),
        (found.mentions.nulls, other.mentions.nulls),
        (found.mentions.presences, other.mentions.presences),
        (found.request.without_value, other.request.without_value),
        (found.constants.ascending, other.constants.ascending),
    ):
        into |= keys(given)
    for known, more in (
        (found.mentions.together, other.mentions.together),
        (found.equated, other.equated),
    ):
        for column, others in more.items():
            for key in keys([column]):
                known.setdefault(key, set()).update(keys(others))
    for path, columns in other.request.claims.items():
        found.request.claims.setdefault(path, set()).update(keys(columns))
    for path, before in other.request.preferred.items():
        found.request.preferred.setdefault(path, set()).update(before)
    for header, columns in other.request.headers.items():
        found.request.headers.setdefault(header, set()).update(keys(columns))
    for column, functions in other.request.hashing.items():
        found.request.hashing |= dict.fromkeys(keys([column]), functions)
    for path, texts in other.request.claim_literals.items():
        _extend(found.request.claim_literals.setdefault(path, []), texts)
    for header, texts in other.request.header_literals.items():
        _extend(found.request.header_literals.setdefault(header, []), texts)
    _extend(found.request.operations, other.request.operations)
    _extend(found.paths, [path for path in other.paths if _exists(path, by_label)])
    for into_, given_ in (
        (found.constants.literals, other.constants.literals),
        (found.constants.selected, other.constants.selected),
        (found.constants.equal, other.constants.equal),
        (found.constants.inserted, other.constants.inserted),
    ):
        for column, texts in given_.items():
            for key in keys([column]):
                _extend(into_.setdefault(key, []), texts)
    for oid, read in other.reads.items():
        if (relation := here(oid)) is not None:
            same = {r.oid for r in map(here, read) if r is not None}
            # a relation of another schema, which has no label, exists in this database only
            found.reads.setdefault(relation.oid, set()).update(read if source is catalog else same)


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
                _extend(found.constants.literals.setdefault(key, []), [column.value])
        found.mentions.mentioned |= keys
        for key in keys:
            found.mentions.together.setdefault(key, set()).update(keys)


def _extend(texts: list[_Item], more: Iterable[_Item]) -> None:
    texts += [text for text in more if text not in texts]


class _Reader:
    def __init__(self, catalog: Catalog, words: Words) -> None:
        self._catalog, self._user_columns = catalog, words.user_columns
        self._addresses = words.sensitive_columns
        self._usage = Usage()
        self._by_name: dict[str, Relation] = {}
        for relation in reversed(catalog.relations):
            self._by_name[relation.name] = relation
            self._by_name[relation.label] = relation
        for relation in catalog.relations:  # an unqualified name prefers schema public
            if relation.schema == "public":
                self._by_name[relation.name] = relation
        self._functions: dict[str, list[Function]] = {}
        for function in catalog.functions:
            self._functions.setdefault(function.name, []).append(function)
        self._bodies = {
            f.oid: expressions.body_trees(f.language, f.body) for f in catalog.functions
        }
        self._words = {f.signature: set(_words(f.body)) for f in catalog.functions}
        self._values: dict[str, Value | None] = {}
        # column of a policy's own table → the argument as which a policy passes it
        self._arguments: dict[ColumnKey, set[tuple[int, str]]] = {}

    def read(self) -> Usage:
        """The uses of columns in the policies and functions of the catalog."""
        for relation in self._catalog.tables:
            self._note_users(relation)
        direct: dict[int, set[int]] = {}
        for relation in self._catalog.relations:
            direct[relation.oid] = {relation.oid, *relation.reads}
            self._usage.policies.selecting[relation.oid] = list(self._conditions(relation))
            if relation.definition:
                self._note_callees(relation.oid, syntax.parse(relation.definition) or [])
            for policy in relation.policies:
                for text in (policy.visible, policy.checked):
                    if text is not None:
                        direct[relation.oid] |= self._note_policy(relation, policy, text)
        for function in self._catalog.functions:
            self._note_function(function)
        self._note_passed_on()
        self._note_taken()
        for relation in self._catalog.tables:
            self._note_triggers(relation)
            self._note_frozen(relation)
        self._note_passed()
        self._usage.reads = _closed(direct)
        self._note_narrowed()
        self._note_flags()
        self._usage.paths = paths(self._catalog)
        return self._usage

    def _note_users(self, relation: Relation) -> None:
        """Note the columns that refer to auth.users, and those with the name of such a column."""
        for column in relation.columns:
            is_named = self._user_columns.matches(column.name) and column.base in _USER_TYPES
            if is_named and not self._has_target(relation, column.name):
                self._usage.persons.users.add((relation.oid, column.name))
        for key in relation.foreign_keys:
            if key.target_name == USERS:
                self._usage.persons.users.update((relation.oid, name) for name in key.columns)

    def _note_policy(self, relation: Relation, policy: Policy, text: str) -> set[int]:
        """Note what an expression of a policy reveals; the tables that it reads."""
        expression = expressions.expression_tree(text)
        tree = Trees([expression, *self._applied(expression, relation)])
        compared = list(expressions.comparisons(self._expanded(tree), self._lookup))
        self._note(compared, relation)
        self._note_absent(relation, expressions.denying(expression))
        called = self._usage.policies.policy_functions.setdefault((relation.oid, policy.name), [])
        self._add_functions(tree, called)
        tables = self._tables(tree, set())
        self._note_mentioned(relation, text, called, tables)
        if policy.command != "r":
            words = self._usage.policies.write_words.setdefault(relation.oid, set())
            words.update(_words(text), *(self._words[signature] for signature in called))
        owners = self._compared_with_caller(compared, relation)
        self._usage.persons.owners |= owners
        for key in self._compared_with_own_row(compared, relation, called):
            self._usage.policies.through.setdefault(key, set()).add(policy.command)
        if policy.command in ("a", "*") and text is (policy.checked or policy.visible):
            self._usage.persons.checked |= owners
        if policy.command in ("w", "*") and text is policy.visible:
            self._usage.persons.updating |= owners
        return tables

    def _applied(self, tree: Any, relation: Relation) -> Iterator[Any]:
        """The bodies of the functions that an expression calls with columns of its table, with
        these columns in them: a condition that was moved to a function means the same.
        """
        for call in expressions.nodes(tree, "FuncCall"):
            for function in self._named(expressions.name_of(call)):
                body, names = self._bodies[function.oid], function.argument_names
                columns: dict[str, Node] = {}
                for number, (name, node) in enumerate(self._passed(function, call)):
                    column = expressions.value(node)
                    if isinstance(column, Reference) and column.column in relation.by_name:
                        node = expressions.column_of(relation.label, column.column)
                        columns[f"${(names.index(name) if name else number) + 1}"] = node
                        passed = self._arguments.setdefault((relation.oid, column.column), set())
                        passed.add((function.oid, name))
                        columns |= {} if self._is_column(name, body) else {name: node}
                if columns:
                    yield expressions.applied(body, columns, function.name)

    def _is_column(self, name: str, body: Any) -> bool:
        """Whether a table of a body has such a column, which goes before an argument."""
        tables = [self._by_name.get(table) for table in expressions.tables(body)]
        return any(table is not None and name in table.by_name for table in tables)

    def _note_mentioned(
        self, relation: Relation, text: str, called: Iterable[str], tables: Iterable[int]
    ) -> None:
        """Note the columns whose names a policy contains, or a function that it calls."""
        words = set(_words(text))
        self._usage.mentions.words |= words
        mentioned = set[ColumnKey]()
        for column in relation.columns:
            if column.name in words or re.search(rf"\b{re.escape(column.name)}\b", text):
                mentioned.add((relation.oid, column.name))
        words = words.union(*(self._words[signature] for signature in called))
        for oid in (relation.oid, *tables):
            named = words.intersection(self._catalog.by_oid[oid].by_name)
            mentioned.update((oid, name) for name in named)
        self._usage.mentions.mentioned |= mentioned
        for key in mentioned:
            self._usage.mentions.together.setdefault(key, set()).update(mentioned)

    def _note_function(self, function: Function) -> None:
        """Note what the body of a function reveals."""
        body = self._bodies[function.oid]
        self._usage.mentions.words |= self._words[function.signature]
        compared = list(expressions.comparisons(self._expanded(body), self._lookup))
        self._note(compared, None)
        self._note_inserted(function)
        self._note_updated(function)
        self._note_copied(function)
        self._note_arguments(function, compared)
        conditions = list(expressions.conditions(body))
        queries = [list(expressions.comparisons(query, self._lookup)) for query in conditions]
        named = expressions.references([*conditions, *expressions.without_tables(body)])
        self._usage.conditions.tested[function.oid] = {reference.column for reference in named}
        self._note_proofs(function, queries)
        self._note_bearers(function, queries)
        self._note_masked(function)
        queried = [comparison for query in queries for comparison in query]
        self._note_demands(function, conditions, queried)
        self._note_caller_and_time(function, queried)
        self._note_charged(function)
        self._note_refusing(function)
        self._note_capacities(function)
        self._note_callees(function.oid, body)
        tables = self._tables(body, {function.oid}) | self._mentioned(function)
        self._usage.bodies.function_reads[function.oid] = tables
        if self._names(function, _AUTH_USERS, {function.oid}):
            self._usage.bodies.user_functions.add(function.oid)
        if self._names(function, _CALLER, {function.oid}):
            self._usage.conditions.asking.add(function.oid)

    def _note_inserted(self, function: Function) -> None:
        """Note the tables and the constants of the rows that a body inserts."""
        body = self._bodies[function.oid]
        adds = self._usage.bodies.adds.setdefault(function.oid, set())
        adds |= {self._by_name[n].oid for n in expressions.filled(body) if n in self._by_name}
        for target, column, node in expressions.inserted(body, self._columns_of):
            relation, constant = self._by_name.get(target), expressions.value(node)
            if relation is not None and isinstance(constant, Literal):
                known = self._usage.constants.inserted.setdefault((relation.oid, column), [])
                _extend(known, [constant.text])

    def _columns_of(self, table: str) -> Sequence[str]:
        """The names of the columns of a table, in order."""
        relation = self._by_name.get(table)
        return [] if relation is None else [column.name for column in relation.columns]

    def _note_updated(self, function: Function) -> None:
        """Note the columns that a body updates."""
        named = expressions.updated(self._bodies[function.oid])
        found = ((self._by_name.get(target), column) for target, column in named)
        self._usage.bodies.sets[function.oid] = {
            (r.oid, column) for r, column in found if r is not None
        }

    def _note_charged(self, function: Function) -> None:
        """Note that a body takes from a number in a row of its caller."""
        own = {oid for oid, _ in self._usage.conditions.own[function.oid]}
        for target, column, node in expressions.assigned(self._bodies[function.oid]):
            relation = self._by_name.get(target)
            is_own = relation is not None and relation.oid in own
            if is_own and expressions.is_taken_from(node, column):
                self._usage.bodies.charging.add(function.oid)

    def _note_copied(self, function: Function) -> None:
        """Note the columns that a body copies to others, also by a variable."""
        body = self._bodies[function.oid]
        scopes = expressions.aliases(body)
        values: dict[str, Reference] = {}
        for name, table, column in bodies.variables(function):
            if column:
                values[name] = Reference(table, column)
            else:
                scopes[name] = table
        inserted = expressions.inserted(body, self._columns_of)
        for target, name, node in (*inserted, *expressions.assigned(body)):
            relation, source = self._by_name.get(target), expressions.value(node)
            if not isinstance(source, Reference) or relation is None:
                continue
            if source.table is None:
                source = values.get(source.column, source)
            key = self._column(source, scopes, None) if source.table is not None else None
            if key is not None and key != (relation.oid, name):
                self._usage.bodies.copied.setdefault(key, set()).add((relation.oid, name))

    def _note_triggers(self, relation: Relation) -> None:
        """Note the columns on whose new value a trigger changes other tables with the rights of its
        owner.
        """
        for function in self._catalog.functions:
            if function.oid not in relation.triggers or not function.definer:
                continue
            others = self._usage.bodies.adds[function.oid] | {
                o for o, _ in self._usage.bodies.sets[function.oid]
            }
            if not others - {relation.oid}:
                continue
            for condition in CONDITION.findall(function.body):
                for column in NEW.findall(condition):
                    if column in relation.by_name:
                        known = self._usage.triggers.acted_on.setdefault((relation.oid, column), [])
                        _extend(known, [function.signature])

    def _note_frozen(self, relation: Relation) -> None:
        """Note the columns that a trigger compares with the old row and refuses, and none reads in
        new rows; and those that one sets in new rows if a condition about them says so.
        """
        functions = [f for f in self._catalog.functions if f.oid in relation.triggers]
        for function in functions:
            if not function.definer:
                self._note_absent(relation, self._refused_by(function))
        inserting = [f for f in functions if f.oid in relation.insert_triggers]
        tested = {name for f in inserting for name in NEW.findall(f.body)}
        for function in functions:
            if function in inserting or not REFUSAL.search(function.body):
                continue
            unequal = {*_UNEQUAL.findall(function.body)} & {*relation.by_name}
            loose = {name for name in unequal if not relation.by_name[name].not_null}
            self._usage.triggers.loose |= {(relation.oid, name) for name in loose}
            compared = {*NEW.findall(function.body)} & {*OLD.findall(function.body)} - tested
            frozen = {(relation.oid, name) for name in compared & {*relation.by_name}}
            self._usage.triggers.frozen |= frozen
            self._usage.triggers.reserved |= frozen if self._may_ask(function) else set()
        for function in inserting:
            conditions = " ".join(CONDITION.findall(function.body))
            conditions += " ".join(_COALESCED.findall(function.body))
            set_ = {*_SET.findall(function.body)} & {*NEW.findall(conditions)}
            self._usage.triggers.computed |= {
                (relation.oid, name) for name in set_ & {*relation.by_name}
            }

    def _may_ask(self, function: Function) -> bool:
        """Whether a trigger names its caller, or a function that does, also outside of queries."""
        words = self._words[function.signature]
        asking = {f.name for f in self._catalog.functions if f.oid in self._usage.conditions.asking}
        return function.oid in self._usage.conditions.asking or not asking.isdisjoint(words)

    def _refused_by(self, function: Function) -> Iterator[str]:
        """The tables that the conditions of a function read which raise an error if they hold: a
        row that is not seen does not meet them.
        """
        for condition in _RAISING.findall(function.body):
            tree = expressions.expression_tree(condition)
            is_absent = _ABSENT.search(condition) is not None
            yield from () if tree is None or is_absent else expressions.tables(tree)

    def _note_absent(self, relation: Relation, names: Iterable[str]) -> None:
        """Note the tables with row level security in which a row that refuses is looked for."""
        found = {self._by_name[name] for name in names if name in self._by_name}
        known = self._usage.policies.absent.setdefault(relation.oid, set())
        known |= {one.oid for one in found if one.rls and one is not relation}

    def _note_flags(self) -> None:
        """Note the values of user_metadata that are conditions by themselves: flags; and the claims
        of which only the presence is asked for.
        """
        policies = [policy for relation in self._catalog.relations for policy in relation.policies]
        texts = [text for p in policies for text in (p.visible, p.checked) if text is not None]
        trees = self._expanded([*map(expressions.expression_tree, texts), *self._bodies.values()])
        claims = [v for v in expressions.request_values(trees) if isinstance(v, Claim)]
        for path in sorted(path for claim in claims for path in claim.paths):
            is_of_user = path[0] == expressions.CHOSEN and len(path) > 1
            if is_of_user and path not in self._usage.request.claims:
                self._usage.request.claim_literals.setdefault(path, ["true"])
        for test in expressions.nodes(trees, "NullTest"):
            tested = expressions.value(test["arg"], self._lookup)
            if isinstance(tested, Claim) and tested.path:
                self._usage.request.present_claims.update(tested.paths)

    def _has_target(self, relation: Relation, column: str) -> bool:
        return any(
            column in key.columns and key.target_name != USERS for key in relation.foreign_keys
        )

    def _note(self, compared: Iterable[Comparison], relation: Relation | None) -> None:
        for comparison in compared:
            self._note_order(comparison, relation)
            if comparison.operator == "=":
                sides = (comparison.left, comparison.right)
                one, other = (self._named_column(side, comparison, relation) for side in sides)
                self._note_equated(one, other)
            for left, right in _both_ways(comparison):
                self._note_pair(comparison, left, right, relation)

    def _note_order(self, comparison: Comparison, relation: Relation | None) -> None:
        """Note a column with an enum of which more than a label is enough."""
        sides = ((comparison.left, (">", ">=")), (comparison.right, ("<", "<=")))
        for side, operators in sides:
            if isinstance(side, Reference) and comparison.operator in operators:
                key = self._column(side, comparison.scopes, relation)
                if key is not None and self._is_enum(key):
                    self._usage.constants.ascending.add(key)

    def _is_enum(self, key: ColumnKey) -> bool:
        oid, name = key
        return self._catalog.by_oid[oid].by_name[name].typtype == "e"

    def _note_arguments(self, function: Function, compared: Iterable[Comparison]) -> None:
        """Note the columns that a function compares with its arguments: those by which it looks a
        row up, and those with an enum that it orders.
        """
        for comparison in compared:
            if comparison.operator not in ("=", *_ORDERING, expressions.BOTH_NULL):
                continue
            for left, right in _both_ways(comparison):
                if not isinstance(left, Reference) or not isinstance(right, Reference):
                    continue
                if right.table not in (None, function.name):
                    continue
                name = function.argument(right.column)
                if not name:
                    continue
                key = self._column(left, comparison.scopes, None)
                if key is not None and comparison.operator == expressions.BOTH_NULL:
                    self._usage.bodies.null_arguments.setdefault((function.oid, name), key)
                elif key is not None and (comparison.operator == "=" or self._is_enum(key)):
                    known = self._usage.bodies.arguments.setdefault((function.oid, name), [])
                    _extend(known, [key])
        body = self._bodies[function.oid]
        inserted = expressions.inserted(body, self._columns_of)
        for target, column, node in (*inserted, *expressions.assigned(body)):
            relation, name = self._by_name.get(target), _argument(function, node)
            if relation is None or not name:
                continue
            if any(column in key.columns for key in relation.foreign_keys):
                known = self._usage.bodies.arguments.setdefault((function.oid, name), [])
                _extend(known, [(relation.oid, column)])

    def _note_proofs(self, function: Function, queries: Iterable[Iterable[Comparison]]) -> None:
        """Note the texts that a query compares with an argument, besides the key of their row: who
        reads such a column passes for the person who is to know it.
        """
        if not function.callers:
            return
        for query in queries:
            compared: dict[int, set[str]] = {}
            for comparison in query:
                if comparison.operator != "=":
                    continue
                for left, right in _both_ways(comparison):
                    key = self._compared_with_argument(function, comparison, left, right)
                    if key is not None:
                        compared.setdefault(key[0], set()).add(key[1])
            for oid, names in compared.items():
                relation = self._catalog.by_oid[oid]
                self._usage.secrets.proofs |= {(oid, name) for name in _proofs(relation, names)}

    def _note_bearers(self, function: Function, queries: Iterable[Iterable[Comparison]]) -> None:
        """Note the texts by which a query finds a row only until a time of that row. The text of a
        name or of a document finds its row for ever.
        """
        for query in queries:
            given: set[ColumnKey] = set()
            lasting: set[int] = set()
            for comparison in query:
                for left, right in _both_ways(comparison):
                    if comparison.operator == "=":
                        key = self._compared_with_argument(function, comparison, left, right)
                        given |= {key} if key is not None else set()
                    lasting |= self._lasts(comparison, left, right)
            self._usage.secrets.bearers |= {
                key for key in given if key[0] in lasting and self._finds(key)
            }

    def _lasts(self, comparison: Comparison, column: Value, other: Value) -> set[int]:
        """The table of a column that a condition demands to be later than now."""
        is_order = isinstance(other, Now) and comparison.operator in _ORDERING
        if not is_order or not isinstance(column, Reference):
            return set()
        is_less = (column is comparison.left) == comparison.operator.startswith("<")
        key = None if is_less else self._column(column, comparison.scopes, None)
        return set() if key is None else {key[0]}

    def _finds(self, key: ColumnKey) -> bool:
        """Whether a column is a text, no address, that is unique in its table and refers to no
        other row.
        """
        relation, name = self._catalog.by_oid[key[0]], key[1]
        column = relation.by_name[name]
        is_text = column.category == "S" and column.typtype != "e"
        refers = any(name in foreign.columns for foreign in relation.foreign_keys)
        is_address = self._addresses.matches(name)
        return is_text and not refers and not is_address and (name,) in relation.unique_keys

    def _compared_with_argument(
        self, function: Function, comparison: Comparison, left: Value, right: Value
    ) -> ColumnKey | None:
        """The column on one side of a comparison, if the other one is an argument."""
        if not isinstance(left, Reference) or not isinstance(right, Reference):
            return None
        if right.table not in (None, function.name) or not function.argument(right.column):
            return None
        return self._column(left, comparison.scopes, None)

    def _note_masked(self, function: Function) -> None:
        """Note the columns that a query shows on a condition, and not by themselves; and the keys
        by which it finds their rows, which tell the same.
        """
        if not function.callers:
            return
        for select in expressions.nodes(self._bodies[function.oid], "SelectStmt"):
            scopes = expressions.tables_of(select)
            found = {self._column(one, scopes, None) for one in expressions.conditional(select)}
            plain = {self._column(one, scopes, None) for one in expressions.plain(select)}
            masked = {key for key in found - plain if key is not None}
            tables = {oid for oid, _ in masked}
            query = {"SelectStmt": select}
            for comparison in expressions.comparisons(query, self._lookup) if masked else ():
                for left, right in _both_ways(comparison):
                    keys = [self._key_of(one, comparison) for one in (left, right)]
                    [at, key] = keys
                    if at is None or key is None or at[0] not in tables or key in plain:
                        continue
                    if (at[1],) in self._catalog.by_oid[at[0]].unique_keys and key[0] != at[0]:
                        masked.add(key)
            self._usage.secrets.masked |= masked

    def _note_narrowed(self) -> None:
        """Note the columns that a function shows to the persons of a table that no policy of their
        own table reads, as the code of a door: the function is for fewer people than the row.
        """
        called = {one for found in self._usage.policies.policy_functions.values() for one in found}
        for function in self._catalog.functions:
            shown = self._selected(function) if function.definer and function.callers else None
            if shown is None or function.signature in called:
                continue
            key = self._column(Reference(shown.table, shown.column), {}, None)
            persons = {oid for oid, _ in self._usage.conditions.own.get(function.oid, ())}
            if key is not None and persons and persons.isdisjoint(self._usage.reads[key[0]]):
                self._usage.secrets.masked.add(key)

    def _key_of(self, side: Value, comparison: Comparison) -> ColumnKey | None:
        """The column on one side of a comparison."""
        if not isinstance(side, Reference):
            return None
        return self._column(side, comparison.scopes, None)

    def _note_demands(
        self, function: Function, conditions: Iterable[Node], queried: Iterable[Comparison]
    ) -> None:
        """Note the constants that the queries of a function ask for; the first of each column."""
        found: dict[ColumnKey, str | None] = {}
        for comparison in queried:
            column, other = comparison.left, comparison.right
            is_null = comparison.operator == expressions.IS_NULL
            if not isinstance(column, Reference) or not isinstance(other, Literal):
                continue
            key = self._column(column, comparison.scopes, None)
            if key is not None and (is_null or comparison.operator == "="):
                found.setdefault(key, None if is_null else other.text)
        for condition in conditions:
            for key, is_wanted in self._flags(condition):
                found.setdefault(key, "true" if is_wanted else "false")
        self._usage.conditions.demands[function.oid] = found

    def _flags(self, query: Node) -> Iterator[tuple[ColumnKey, bool]]:
        """The columns that are conditions of a query by themselves, and whether it wants them."""
        [statement] = query.values()
        scopes = expressions.tables_of(statement)
        for flag, is_wanted in expressions.flags(statement):
            key = self._column(flag, scopes, None)
            if key is not None:
                yield key, is_wanted

    def _note_caller_and_time(self, function: Function, queried: Iterable[Comparison]) -> None:
        """Note the columns that the queries of a function compare with the caller and with now."""
        rows = self._rows_in_variables(function)
        own = self._usage.conditions.own.setdefault(function.oid, set())
        later = self._usage.conditions.later.setdefault(function.oid, set())
        earlier = self._usage.conditions.earlier.setdefault(function.oid, set())
        for comparison in queried:
            operator = comparison.operator
            for column, other in _both_ways(comparison):
                if not isinstance(column, Reference):
                    continue
                is_row = column.table in rows and column.table not in comparison.scopes
                scopes = rows if is_row else comparison.scopes
                key = self._column(column, scopes, None)
                if key is None:
                    continue
                is_less = (column is comparison.left) == operator.startswith("<")
                is_caller = isinstance(other, Claim) and bool(other.path)
                if is_caller and operator == "=":
                    own.add(key)
                elif operator == expressions.IS_NOT_NULL and self._is_moment(key):
                    earlier.add(key)
                    self._note_moment(function, key, "<", NOW)
                elif isinstance(other, Now) and operator == "=":
                    self._note_moment(function, key, operator, other)
                elif isinstance(other, Now) and operator in _ORDERING:
                    self._note_moment(function, key, "<" if is_less else ">", other)
                    # a time close to now is not on the other side of an interval
                    if is_less and other.beside != "-":
                        earlier.add(key)
                    if not is_less and other.beside != "+":
                        later.add(key)

    def _note_moment(self, function: Function, key: ColumnKey, order: str, now: Now) -> None:
        """Note that a function demands a time before, behind or at a time beside now."""
        found = self._usage.conditions.moments.setdefault(function.oid, {}).setdefault(
            key, Moment()
        )
        if order != "<":
            found.behind.append(_distance(now, "+"))
        if order != ">":
            found.before.append(_distance(now, "-"))

    def _note_refusing(self, function: Function) -> None:
        """Note what a row in a variable must be so that no IF raises an error about it."""
        rows = self._rows_in_variables(function)
        values: dict[str, Reference] = {}
        for name, table, column in bodies.variables(function):
            relation = self._by_name.get(table)
            if relation is not None and column in relation.by_name:
                values[name] = Reference(table, column)
        for text in bodies.refusing(function):
            for condition in expressions.any_of(expressions.expression_tree(text)):
                self._note_loose(function, condition)
                if rows or values:
                    self._note_refused(function, condition, rows, values)

    def _note_capacities(self, function: Function) -> None:
        """Note the columns with which a body compares a number of rows."""
        rows = self._rows_in_variables(function)
        found = self._usage.conditions.capacities.setdefault(function.oid, set())
        for fields in expressions.nodes(self._bodies[function.oid], "A_Expr"):
            sides = [fields.get("lexpr"), fields.get("rexpr")]
            counts = [("count",) in expressions.calls(side) for side in sides]
            if fields["name"][-1]["String"]["sval"] not in _ORDERING or counts[0] == counts[1]:
                continue
            limit = sides[counts.index(False)] or {}
            query = limit.get("SubLink", {}).get("subselect")
            column = expressions.selected(query) if query else expressions.value(limit)
            if isinstance(column, Selected):
                column = Reference(column.table, column.column)
            key = self._column(column, rows, None) if isinstance(column, Reference) else None
            found |= {key} if key is not None else set()

    def _note_loose(self, function: Function, condition: Node) -> None:
        """Note that a guard compares what a function selects, such as the role of the caller, only
        by <>, which is not true of NULL: who has no such row passes.
        """
        if any(expressions.nodes(condition, "CoalesceExpr")) or expressions.is_distinct(condition):
            return
        for comparison in expressions.comparisons(condition, self._lookup):
            if comparison.operator == "<>" and isinstance(comparison.left, Selected):
                self._usage.conditions.loosely.add(function.oid)

    def _note_refused(
        self,
        function: Function,
        condition: Node,
        rows: Mapping[str, str],
        values: Mapping[str, Reference],
    ) -> None:
        """Note the opposite of one condition about a row in a variable."""
        if any(expressions.nodes(condition, "SubLink")):
            return  # it is about other rows
        demands = self._usage.conditions.demands[function.oid]

        def key_of(side: Value | None) -> ColumnKey | None:
            if not isinstance(side, Reference):
                return None
            named = values.get(side.column) if side.table is None else side
            is_row = side.table in rows or side.table is None
            return self._column(named, rows, None) if named is not None and is_row else None

        is_negated = expressions.excludes(condition)
        operands = condition["BoolExpr"]["args"] if is_negated else [condition]
        flag = key_of(expressions.value(operands[0]))
        if flag is not None:
            demands.setdefault(flag, "true" if is_negated else "false")
        for comparison in () if is_negated else expressions.comparisons(condition, self._lookup):
            operator = comparison.operator
            if operator == "=" and expressions.is_distinct(condition):
                operator = "<>"
            key, other = key_of(comparison.left), comparison.right
            if key is None:
                continue
            if operator == expressions.IS_NOT_NULL:
                demands.setdefault(key, None)
            elif operator == "<>" and isinstance(other, Literal):
                demands.setdefault(key, other.text)
            elif isinstance(other, Now) and operator in ("<>", *_ORDERING):
                self._note_refused_time(function, key, operator, other)
            elif operator == "<>" and isinstance(other, Claim) and other.path:
                self._usage.conditions.own[function.oid].add(key)

    def _note_refused_time(
        self, function: Function, key: ColumnKey, operator: str, now: Now
    ) -> None:
        """Note the opposite of a comparison with a time beside now."""
        if operator in ("<", "<=") and now.beside != "+":
            self._usage.conditions.later[function.oid].add(key)
        elif operator in (">", ">=") and now.beside != "-":
            self._usage.conditions.earlier[function.oid].add(key)
        order = "=" if operator == "<>" else {"<": ">", ">": "<"}[operator[0]]
        self._note_moment(function, key, order, now)

    def _is_moment(self, key: ColumnKey) -> bool:
        oid, name = key
        return self._catalog.by_oid[oid].by_name[name].category == "D"

    def _conditions(self, view: Relation) -> Iterator[Condition]:
        """The comparisons of the columns of a view's query with constants and with now."""
        for query in expressions.conditions(syntax.parse(view.definition or "") or []):
            for flag, is_wanted in self._flags(query):
                yield flag, "=", "true" if is_wanted else "false"
            for comparison in expressions.comparisons(query, self._lookup):
                column, other = comparison.left, comparison.right
                key = self._key_of(column, comparison)
                if key is not None and isinstance(other, Literal):
                    yield key, comparison.operator, other.text
                elif key is not None and other == NOW:
                    yield key, comparison.operator, None

    def _note_passed_on(self) -> None:
        """Note the columns with which a function compares the argument of another one."""
        passed = [*chain.from_iterable(map(self._passed_on, self._catalog.functions))]
        known, size = self._usage.bodies.arguments, -1
        while size != sum(map(len, known.values())):
            size = sum(map(len, known.values()))
            for passing, taking in passed:
                _extend(known.setdefault(passing, []), known.get(taking, ()))

    def _passed_on(self, function: Function) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
        """The arguments that a function passes to another one, with those that they become."""
        for call in expressions.nodes(self._bodies[function.oid], "FuncCall"):
            for called in self._named(expressions.name_of(call)):
                for name, node in self._passed(called, call):
                    if own := _argument(function, node):
                        yield (function.oid, own), (called.oid, name)

    def _note_taken(self) -> None:
        """Note the columns with which functions compare the columns that policies pass to them."""
        for column, arguments in self._arguments.items():
            for argument in arguments:
                for other in self._usage.bodies.arguments.get(argument, ()):
                    self._note_equated(column, other)

    def _note_equated(self, one: ColumnKey | None, other: ColumnKey | None) -> None:
        if one is not None and other is not None and one != other:
            self._usage.equated.setdefault(one, set()).add(other)
            self._usage.equated.setdefault(other, set()).add(one)

    def _note_passed(self) -> None:
        """Note the constants that policies and functions pass to a function which compares a column
        with that argument: has_role('admin').
        """
        policies = [policy for relation in self._catalog.relations for policy in relation.policies]
        texts = [text for p in policies for text in (p.visible, p.checked) if text is not None]
        trees = [*map(expressions.expression_tree, texts), *self._bodies.values()]
        for call in expressions.nodes(trees, "FuncCall"):
            for function in self._named(expressions.name_of(call)):
                for name, node in self._passed(function, call):
                    self._note_argument(function, name, node)

    def _passed(self, function: Function, call: Node) -> Iterator[tuple[str, Node]]:
        """The arguments of a call by their names; those behind the last one are variadic."""
        names = function.argument_names[: len(function.argument_types)]
        for number, node in enumerate(call.get("args", [])):
            if "NamedArgExpr" in node:
                yield node["NamedArgExpr"]["name"], node["NamedArgExpr"]["arg"]
            elif names:
                yield names[min(number, len(names) - 1)], node

    def _note_argument(self, function: Function, name: str, node: Node) -> None:
        keys = self._usage.bodies.arguments.get((function.oid, name), ())
        passed = map(expressions.value, expressions.elements(node))
        texts = [value.text for value in passed if isinstance(value, Literal)]
        for key in keys:
            _extend(self._usage.constants.literals.setdefault(key, []), texts)

    def _compared_with_caller(
        self, compared: Iterable[Comparison], relation: Relation
    ) -> set[ColumnKey]:
        """The columns of the relation itself that an expression compares with the caller's id."""
        found = set()
        for comparison in compared:
            pair = (comparison.left, comparison.right)
            for side in pair:
                if USER_ID in pair and isinstance(side, Reference):
                    key = self._column(side, comparison.scopes, relation)
                    if key is not None and key[0] == relation.oid:
                        found.add(key)
        return found

    def _compared_with_own_row(
        self, compared: Sequence[Comparison], relation: Relation, called: Sequence[str]
    ) -> Iterator[ColumnKey]:
        """The columns of the relation that an expression compares with a row above that it compares
        with the caller, in the same query or by a function that returns its key.
        """
        own = list(self._caller_tables(compared, relation))
        for comparison in compared:
            for left, right in _both_ways(comparison):
                is_key = comparison.operator == "=" and isinstance(left, Reference)
                column = self._named_column(left, comparison, relation) if is_key else None
                other = self._named_column(right, comparison, relation)
                if column is None or other is None or column[0] != relation.oid:
                    continue
                if isinstance(right, Selected):
                    is_own = self._is_of_caller(right, other[0], called)
                else:
                    is_own = (other[0], id(comparison.scopes)) in own
                if is_own and _refers(relation, column[1], other[0]):
                    yield column

    def _caller_tables(
        self, compared: Iterable[Comparison], relation: Relation | None
    ) -> Iterator[tuple[int, int]]:
        """The tables of which a query compares the only row with the caller, with its scopes."""
        for comparison in compared:
            for left, right in _both_ways(comparison):
                is_asked = right == USER_ID or isinstance(right, Claim | Header)
                if is_asked and isinstance(left, Reference):
                    key = self._column(left, comparison.scopes, relation)
                    names = [self._by_name.get(name) for name in comparison.scopes.values()]
                    if key is not None and [n.oid for n in names if n].count(key[0]) == 1:
                        yield key[0], id(comparison.scopes)

    def _is_of_caller(self, value: Selected, oid: int, called: Sequence[str]) -> bool:
        """Whether a function that is called selects a column of the caller's own row."""
        for function in self._catalog.functions:
            if function.signature in called and self._selected(function) == value:
                compared = expressions.comparisons(self._bodies[function.oid], self._lookup)
                if any(table == oid for table, _ in self._caller_tables(compared, None)):
                    return True
        return False

    def _note_pair(
        self, comparison: Comparison, left: Value, right: Value, relation: Relation | None
    ) -> None:
        """Note what a comparison reveals about its left side."""
        found = self._usage
        if isinstance(left, Reference):
            key = self._column(left, comparison.scopes, relation)
            if key is not None:
                self._note_column(key, comparison.operator, right)
                if isinstance(right, Literal) and right.text in found.constants.selected.get(
                    key, ()
                ):
                    found.constants.selected[key].remove(right.text)
        elif isinstance(left, Selected) and isinstance(right, Literal):
            column = Reference(left.table, left.column)
            key = self._column(column, {}, None)
            if key is not None:
                if right.text not in found.constants.literals.get(key, ()):
                    found.constants.selected.setdefault(key, []).append(right.text)
                self._note_column(key, comparison.operator, right)
        elif isinstance(left, Claim) and left.path and isinstance(right, Literal):
            self._note_preferred(left)
            for path in left.paths:
                _extend(found.request.claim_literals.setdefault(path, []), [right.text])
        elif isinstance(left, Header) and left.name and isinstance(right, Literal):
            _extend(found.request.header_literals.setdefault(left.name, []), [right.text])
        elif isinstance(left, Operation) and isinstance(right, Literal):
            _extend(found.request.operations, [right.text])

    def _note_column(self, key: ColumnKey, operator: str, other: Value) -> None:
        """Note with what a column is compared."""
        found = self._usage
        if operator == expressions.BOTH_NULL:
            if not isinstance(other, Reference):
                found.mentions.nulls.add(key)
                found.request.without_value.add(key)
        elif other == USER_ID:
            found.persons.users.add(key)
            found.persons.compared.add(key)
        elif isinstance(other, Claim) and other.path:
            self._note_preferred(other)
            for path in other.paths:
                found.request.claims.setdefault(path, set()).add(key)
        elif isinstance(other, Header) and other.name:
            found.request.headers.setdefault(other.name, set()).add(key)
            if other.hashing:
                found.request.hashing[key] = other.hashing
        elif operator == expressions.IS_NULL:
            found.mentions.nulls.add(key)
        elif operator == expressions.IS_NOT_NULL:
            found.mentions.presences.add(key)
        elif isinstance(other, Literal):
            known = found.constants.literals.setdefault(key, [])
            if operator in ("=", "<>") or self._is_enum(key):
                _extend(known, [other.text])
            if operator == "=":
                _extend(found.constants.equal.setdefault(key, []), [other.text])

    def _note_preferred(self, claim: Claim) -> None:
        """Note in which order COALESCE takes the values of a claim."""
        for number, path in enumerate(claim.otherwise, 1):
            self._usage.request.preferred.setdefault(path, set()).update(claim.paths[:number])

    def _named_column(
        self, value: Value, comparison: Comparison, relation: Relation | None
    ) -> ColumnKey | None:
        """The column that a value of a comparison is, or that a function selects."""
        if isinstance(value, Selected):
            return self._column(Reference(value.table, value.column), {}, None)
        if isinstance(value, Reference):
            return self._column(value, comparison.scopes, relation)
        return None

    def _column(
        self, reference: Reference, scopes: Mapping[str, str], relation: Relation | None
    ) -> ColumnKey | None:
        if reference.table is not None:
            target = self._by_name.get(scopes.get(reference.table, reference.table))
            return (
                (target.oid, reference.column)
                if target and reference.column in target.by_name
                else None
            )
        tables = [self._by_name.get(name) for name in reversed(list(scopes.values()))]
        for candidate in (*tables, relation):
            if candidate is not None and reference.column in candidate.by_name:
                return candidate.oid, reference.column
        return None

    def _lookup(self, name: tuple[str, ...]) -> Value | None:
        """The value that a function of the project reads from the request, if it does only that, or
        the column that it selects.
        """
        key = ".".join(name)
        if key not in self._values:
            self._values[key] = None  # ends a recursion
            for function in self._named(name):
                body = self._expanded(self._bodies[function.oid])
                value = self._returned(body)
                if value is not None:
                    self._values[key] = value
                elif self._values[key] is None:
                    self._values[key] = self._only_value(body)
                if self._values[key] is None:
                    self._values[key] = self._selected(function)
                if self._returns_caller(function):
                    self._values[key] = USER_ID
        return self._values[key]

    def _returns_caller(self, function: Function) -> bool:
        """Whether a body returns a column by which it finds the row of its caller: it is the id of
        the caller.
        """
        returned = self._returned_column(function)
        if returned is None:
            return False
        queries = expressions.conditions(self._bodies[function.oid])
        compared = [one for query in queries for one in expressions.comparisons(query)]
        pairs = [pair for one in compared if one.operator == "=" for pair in _both_ways(one)]
        scopes = {id(side): one.scopes for one in compared for side in (one.left, one.right)}
        return any(
            other == USER_ID
            and isinstance(side, Reference)
            and self._column(side, scopes[id(side)], None) == returned
            for side, other in pairs
        )

    def _returned_column(self, function: Function) -> ColumnKey | None:
        """The only column that a body returns, from a query or from a row in a variable."""
        selected = self._selected(function)
        if selected is not None:
            return self._column(Reference(selected.table, selected.column), {}, None)
        rows = self._rows_in_variables(function)
        returned = expressions.value(expressions.returned(self._bodies[function.oid]))
        if not isinstance(returned, Reference) or returned.table not in rows:
            return None
        return self._column(returned, rows, None)

    def _rows_in_variables(self, function: Function) -> dict[str, str]:
        """The variables of a body with a row of a table, and the table."""
        variables = bodies.variables(function)
        return {name: table for name, table, c in variables if not c and table in self._by_name}

    def _selected(self, function: Function) -> Selected | None:
        """The only column that a body selects, such as the role of the caller."""
        found = {expressions.selected(tree) for tree in self._bodies[function.oid]} - {None}
        return found.pop() if len(found) == 1 else None

    def _returned(self, body: Any) -> Value | None:
        """The claim or header that a body selects, without a table."""
        value = expressions.value(expressions.returned(body), self._lookup)
        return value if isinstance(value, Claim | Header) else None

    def _only_value(self, body: Any) -> Value | None:
        """The only claim or header that a body mentions, if it reads no table."""
        read = expressions.request_values(body)
        if len(read) != 1 or expressions.tables(body):
            return None
        [value] = read
        return value

    def _expanded(self, tree: Any, within: frozenset[int] = frozenset()) -> Any:
        """A tree with the bodies of functions in place of their calls with constants, such as
        claim('role'), as far as a body is one expression.
        """
        if isinstance(tree, list):
            return [self._expanded(part, within) for part in tree]
        if not isinstance(tree, dict):
            return tree
        if "FuncCall" in tree:
            for function in self._named(expressions.name_of(tree["FuncCall"])):
                body = self._with_constants(function, tree["FuncCall"])
                if body is not None and function.oid not in within:
                    return self._expanded(body, within | {function.oid})
        return {name: self._expanded(part, within) for name, part in tree.items()}

    def _with_constants(self, function: Function, call: Node) -> Node | None:
        """The expression of a function with the constants of a call; None if it is none."""
        passed = list(self._passed(function, call))
        if not all(isinstance(expressions.value(node), Literal) for _, node in passed):
            return None
        returned = expressions.returned(self._bodies[function.oid])
        if returned is None or not passed:
            return None
        names = function.argument_names
        places = {f"${names.index(name) + 1}": node for name, node in passed if name in names}
        found: Node = expressions.applied(returned, {**dict(passed), **places}, function.name)
        return found

    def _named(self, name: tuple[str, ...]) -> list[Function]:
        found = self._functions.get(name[-1], [])
        return [f for f in found if len(name) == 1 or f.schema == name[-2]]

    def _tables(self, tree: Any, seen: set[int]) -> set[int]:
        """The tables that an expression reads, through functions too."""
        found = {
            r.oid for name in expressions.tables(tree) if (r := self._by_name.get(name)) is not None
        }
        for name in expressions.calls(tree):
            for function in self._named(name):
                if function.oid not in seen:
                    seen.add(function.oid)
                    found |= self._tables(self._bodies[function.oid], seen) | self._mentioned(
                        function
                    )
        return found

    def _note_callees(self, oid: int, tree: Any) -> None:
        """Note the functions that a view or function calls."""
        called = list[str]()
        self._add_functions(tree, called)
        self._usage.bodies.callees[oid] = {
            f.oid for f in self._catalog.functions if f.signature in called
        }

    def _add_functions(self, tree: Any, found: list[str]) -> None:
        """Add the signatures of the functions that an expression calls, directly or by other
        functions.
        """
        for name in sorted(expressions.calls(tree)):
            for function in self._named(name):
                if function.signature not in found:
                    found.append(function.signature)
                    self._add_functions(self._bodies[function.oid], found)

    def _names(self, function: Function, pattern: re.Pattern[str], seen: set[int]) -> bool:
        """Whether a body has a text, or calls a function of the project that has it."""
        if pattern.search(function.body):
            return True
        called = [
            f for name in expressions.calls(self._bodies[function.oid]) for f in self._named(name)
        ]
        new = [f for f in called if f.oid not in seen]
        seen |= {f.oid for f in new}
        return any(self._names(f, pattern, seen) for f in new)

    def _mentioned(self, function: Function) -> set[int]:
        """The tables that a body mentions as words, for what the parser does not see."""
        words = self._words[function.signature]
        return {r.oid for r in self._catalog.relations if r.name in words}


def _argument(function: Function, node: Node) -> str:
    """The argument that an expression of a body is, or ''."""
    named = expressions.value(node)
    if not isinstance(named, Reference) or named.table not in (None, function.name):
        return ""
    return function.argument(named.column)


def _proofs(relation: Relation, compared: set[str]) -> Iterator[str]:
    """The texts among the columns that a query compares with arguments, besides a key of the
    table; without those that refer to another row.
    """
    keys = [set(key) for key in relation.unique_keys]
    refers = {name for key in relation.foreign_keys for name in key.columns}
    for name in sorted(compared):
        column = relation.by_name[name]
        is_text = column.category == "S" and column.typtype != "e"
        is_part = name in refers or any(name in key for key in keys)
        if is_text and not is_part and any(key <= compared for key in keys):
            yield name


def _both_ways(comparison: Comparison) -> Iterator[tuple[Value, Value]]:
    yield comparison.left, comparison.right
    yield comparison.right, comparison.left


def _distance(now: Now, hard: str) -> timedelta:
    """How far from now a time is; of an interval that is no constant, what satisfies a comparison
    that it makes `hard` to satisfy.
    """
    distance = now.distance
    if distance is None:
        distance = _LONG if now.beside == hard else timedelta()
    return -distance if now.beside == "-" else distance


def _refers(relation: Relation, column: str, oid: int) -> bool:
    """Whether a column alone refers to a table."""
    return any(key.columns == (column,) and key.target == oid for key in relation.foreign_keys)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


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
