"""Persons for whom nobody else stands: each satisfies an alternative of a policy that no other
generated person satisfies, by rows that are made for it.

Beside them are persons of whom one of these rows is in a state that other policies do not accept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from psycopg import sql

from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.policies.expressions import CHOSEN, IS_NOT_NULL, IS_NULL, LESS
from supabase_jobs.audit.policies.paths import CONTAINS_NOW, Cell, Path, Test
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.compared_values import FUTURE, PAST
from supabase_jobs.audit.rows.memberships import Membership
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Row, Tenant
from supabase_jobs.database.batch import Statement

_NOW_OPERATORS = {"<": PAST, "<=": PAST, ">": FUTURE, ">=": FUTURE}

# operators with a time of the request on their right that an earlier time satisfies
_BEFORE = (*LESS, "<>")
_TEXTS = ("text", "varchar", "citext")
_NULL_TESTS = {IS_NULL: sql.SQL("is null"), IS_NOT_NULL: sql.SQL("is not null")}


@dataclass(frozen=True, eq=False)
class Wanted:
    """A person to make: of `paths` with the same rows, whose tests hold, but for the one of
    `lapsed`, of which the opposite does.

    `is_elsewhere`: no row connects the person with that of the policy, although other policies do.
    """

    paths: tuple[Path, ...]
    tests: tuple[Test, ...]
    lapsed: Test | None = None
    is_elsewhere: bool = False

    @property
    def is_stranger(self) -> bool:
        """Whether the person belongs to the other tenant: no row connects it with that of the
        policy.
        """
        return not is_connected(self.paths[0])

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of the person's rows."""
        return self.paths[0].tables[1:]


def wanted(plan: Plan) -> list[Wanted]:
    """The persons of all paths, each with those in a state that other policies do not accept."""
    by_skeleton: dict[tuple[object, ...], list[Path]] = {}
    for path in plan.usage.paths:
        if is_left_out(plan, path):
            continue
        by_skeleton.setdefault(path.skeleton, []).append(path)
    connected = [
        path
        for path in plan.usage.paths
        if is_connected(path) and undetermined(plan, path)
        if plan.owned(plan.by_label[path.tables[0]])
    ]
    found = []
    for paths in by_skeleton.values():
        for one in _of_skeleton(plan, paths, plan.usage.paths):
            is_elsewhere = one.is_stranger and _is_of_group(plan, one, connected)
            found.append(replace(one, is_elsewhere=is_elsewhere))
    return found


def _is_of_group(plan: Plan, one: Wanted, connected: Sequence[Path]) -> bool:
    """Whether paths that are connected with their row ask for the same labels in the same tables:
    a role of the whole project, such as that of an inspector, is asked for without a group only.
    """
    same = [path for path in connected if {*path.tables[1:]} == {*one.tables}]
    asked = {_asked(path.tables, test) for path in same for test in path.of_rows}
    path = one.paths[0]
    labels = [test for test in one.tests if not _is_valid(plan, path, test)]
    return bool(same) and all(_asked(path.tables, test) in asked for test in labels)


def _asked(tables: Sequence[str], test: Test) -> tuple[object, ...]:
    """The thing that a test asks for; of a number, that it is ordered."""
    if test.value is not None and test.operator not in ("=", "<>"):
        return tables[test.cell.row], test.cell.column
    return tables[test.cell.row], test.cell.column, test.operator, test.value, test.others


def is_connected(path: Path) -> bool:
    """Whether a row of the person belongs to the row of the policy, or a claim does."""
    cells = chain.from_iterable((*steps, cell) for steps, cell in path.claims)
    of_policy = any(isinstance(cell, Cell) and not cell.row for cell in cells)
    return of_policy or bool(path.links)


def is_left_out(plan: Plan, path: Path) -> bool:
    """Whether other persons stand for a path: who forges the claims that everybody chooses, and the
    owner of the rows, if the row of the policy determines all rows, such as the album of a photo.
    """
    steps = [steps for steps, _ in (*path.claims, *path.wanted)]
    if any(one[0] == CHOSEN for one in steps):
        return True
    return not undetermined(plan, path) and bool(path.tables[1:]) and not steps


def undetermined(plan: Plan, path: Path) -> set[int]:
    """The rows of a path that its person can have beside those of others: the row of the policy
    determines no key of theirs.
    """
    known = {b for _, b in path.links}
    rows = set(range(1, len(path.tables)))
    while True:
        found = {row for row in rows if _is_determined(plan, path, row, known)}
        if not found:
            return rows
        rows -= found
        for a, b in path.joined:
            known |= {b} if a.row in found else set()
            known |= {a} if b.row in found else set()


def _is_determined(plan: Plan, path: Path, row: int, known: set[Cell]) -> bool:
    """Whether a row has a key of known columns."""
    names = {cell.column for cell in known if cell.row == row}
    return any(names.issuperset(key) for key in plan.by_label[path.tables[row]].unique_keys)


def has_known_rows(plan: Plan, one: Wanted) -> bool:
    """Whether all rows of a person are of tables in which the owner stands for others, too: those
    of memberships, and those with one row for each user.
    """
    known = plan.memberships.keys() | plan.per_user | plan.staff
    rows = undetermined(plan, one.paths[0])
    tables = [plan.by_label[one.paths[0].tables[row]].oid for row in rows]
    return one.is_stranger or known >= {*tables}


def _of_skeleton(plan: Plan, paths: Sequence[Path], every: Sequence[Path]) -> Iterator[Wanted]:
    """The strictest combinations of labels that some path asks for, with the tests of validity of
    all paths that ask for no other labels. Of `every` path, those may forget a test that have a
    part of the rows.
    """
    labels = {path: _labels(plan, path) for path in paths}
    for own in dict.fromkeys(labels.values()):
        if any(own < other for other in labels.values()):
            continue
        served = [path for path in paths if labels[path] <= own]
        merged: dict[Cell, Test] = {}
        for test in sorted(chain.from_iterable(path.of_rows for path in served), key=_order):
            if _is_valid(plan, served[0], test):
                merged.setdefault(test.cell, test)
        tests = (*sorted(own, key=_order), *merged.values())
        base = Wanted(tuple(served), tests)
        yield base
        for test in merged.values():
            asking = [path for path in served if _tests(path, test.cell)]
            relation, column = column_of(plan, served[0], test.cell)
            is_end = plan.words.ending_columns.matches(column.name)
            others = {*base.tables} - {relation.label}
            forgetting = [path for path in served if path not in asking]
            forgetting += [path for path in every if path.caller and {*path.tables[1:]} <= others]
            if any(is_end or path.reads for path in asking) and any(p.reads for p in forgetting):
                yield replace(base, lapsed=test)


def _labels(plan: Plan, path: Path) -> frozenset[Test]:
    """The tests of a path that ask for a role, and not whether a row is valid."""
    return frozenset(test for test in path.of_rows if not _is_valid(plan, path, test))


def _order(test: Test) -> tuple[int, str, bool, str, str]:
    is_null = test.operator == IS_NULL
    return test.cell.row, test.cell.column, not is_null, test.operator, test.value or ""


def _tests(path: Path, cell: Cell) -> bool:
    return any(test.cell == cell for test in path.tests)


def column_of(plan: Plan, path: Path, cell: Cell) -> tuple[Relation, Column]:
    """The column of a cell, with its table."""
    relation = plan.by_label[path.tables[cell.row]]
    return relation, relation.by_name[cell.column]


def _is_valid(plan: Plan, path: Path, test: Test) -> bool:
    """Whether a test says that a row is valid, or has not ended; not which role it gives."""
    _, column = column_of(plan, path, test.cell)
    if test.operator in (IS_NULL, IS_NOT_NULL, CONTAINS_NOW) or test.value is None:
        return True
    return column.base == "bool" or plan.words.state_columns.matches(column.name)


def satisfying(plan: Plan, relation: Relation, test: Test) -> str | None:
    """A value for which a test holds."""
    column = relation.by_name[test.cell.column]
    if test.operator == CONTAINS_NOW:
        return values.CURRENT
    if test.operator == IS_NULL:
        return None
    if test.operator == IS_NOT_NULL or test.value is None:
        return _NOW_OPERATORS.get(test.operator, PAST) if column.base in values.TIMES else ""
    if test.operator in ("=", ">=", "<="):
        return test.value
    if test.operator == "<>":
        others = _others(plan, relation, column, test.value)
        if others:
            return others[0]
        # a label that no policy names: who has one of those may do more
        return "another" if column.base in _TEXTS and column.name not in _bound(relation) else ""
    try:
        return str(int(test.value) + (1 if test.operator == ">" else -1))
    except ValueError:
        return ""


def refusing(plan: Plan, relation: Relation, test: Test) -> str | None:
    """A value for which a test does not hold; '' if none is known."""
    column = relation.by_name[test.cell.column]
    if test.operator == CONTAINS_NOW:
        return values.ENDED
    if test.operator == IS_NULL:
        return PAST if column.base in values.TIMES else ""
    if test.operator == IS_NOT_NULL:
        return "" if column.not_null else None
    if test.value is None:
        return FUTURE if test.operator in _BEFORE else PAST
    if column.base == "bool":
        return "false" if (test.value == "true") == (test.operator == "=") else "true"
    if test.operator == "<>":
        return test.value
    others = [v for v in _others(plan, relation, column, test.value) if v not in test.others]
    others.sort(key=plan.words.ended_states.rank)
    return others[0] if others and test.operator == "=" else ""


def _bound(relation: Relation) -> set[str]:
    """The columns whose values other rows, or no other rows, have."""
    keys = [*relation.unique_keys, *(key.columns for key in relation.foreign_keys)]
    return {name for columns in keys for name in columns}


def _others(plan: Plan, relation: Relation, column: Column, value: str) -> list[str]:
    closed = plan.closed(relation).get(column.name)
    return [other for other in (closed.values if closed else ()) if other != value]


def needs_claims(plan: Plan, tenant: Tenant, one: Wanted) -> bool:
    """Whether nobody has the claims of a path: others stand for one claim with a constant, and for
    claims that all users of a tenant have.
    """
    path = one.paths[0]
    if path.wanted:
        plain = all((*steps,) in plan.usage.request.claim_literals for steps, _ in path.wanted)
        return bool(path.claims or path.tables[1:]) or len(path.wanted) > 1 or not plain
    return any((*steps,) not in tenant.claims for steps, _ in path.claims)


def ended(plan: Plan, one: Wanted) -> tuple[Relation, str, str | None] | None:
    """The table, the column and the value by which a row has ended."""
    if one.lapsed is None:
        return None
    relation, column = column_of(plan, one.paths[0], one.lapsed.cell)
    return relation, column.name, refusing(plan, relation, one.lapsed)


def closed(plan: Plan, one: Wanted) -> tuple[Relation, ...]:
    """The tables to which policies for writes close a row that has ended, as the name of its
    column says.
    """
    if one.lapsed is None:
        return ()
    _, column = column_of(plan, one.paths[0], one.lapsed.cell)
    if not plan.words.ending_columns.matches(column.name):
        return ()
    asking = [path for path in one.paths if _tests(path, one.lapsed.cell)]
    return tuple(dict.fromkeys(plan.by_label[path.tables[0]] for path in asking))


def named(plan: Plan, one: Wanted, test: Test) -> str:
    """A value in words; of a valid row only the one that has ended."""
    relation, column = column_of(plan, one.paths[0], test.cell)
    if test == one.lapsed:
        value = refusing(plan, relation, test)
    elif test.value is None or column.base == "bool" or column.base in values.TIMES:
        return ""
    else:
        return f"{column.name} {test.operator} {test.value}"
    if value is None:
        return f"{column.name} is null"
    if column.base in values.TIMES:
        return f"{column.name} is in the {'past' if value == PAST else 'future'}"
    if column.base in values.RANGES:
        return f"{column.name} is {values.side_of_range(value)}"
    return f"{column.name} = {value}"


def conditions(plan: Plan, one: Wanted, row: int) -> list[sql.Composable]:
    """The tests of a row as conditions on its table."""
    path = one.paths[0]
    return [
        _test(plan, path, test, "")
        for test in one.tests
        if test.cell.row == row and test != one.lapsed
    ]


def is_met(plan: Plan, tenant: Tenant, users: Sequence[str], one: Wanted) -> Statement | None:
    """Ask whether one of these users satisfies each path already; None if a claim would have to
    say it.
    """
    conditions = []
    for path in one.paths:
        if path.claims or path.wanted:
            return None
        row = tenant.rows.get(plan.by_label[path.tables[0]].oid)
        if row is None:
            continue
        tests = [
            t for t in dict.fromkeys((*one.tests, *path.of_rows)) if not _is_settled(plan, path, t)
        ]
        conditions.append(_exists(plan, path, row, users, tests))
    if not conditions:
        return Statement("select true")
    text = sql.SQL("select {}").format(sql.SQL(" and ").join(conditions))
    return Statement(text.as_string(None))


def _is_settled(plan: Plan, path: Path, test: Test) -> bool:
    """Whether a test is about the state of a membership: members get one that lets them pass."""
    membership = plan.memberships.get(column_of(plan, path, test.cell)[0].oid)
    return membership is not None and test.cell.column in states_of(membership)


def states_of(membership: Membership) -> set[str]:
    """The columns by which a membership is valid, or has ended."""
    marks = [mark[0] for mark in (membership.former, membership.invited) if mark is not None]
    return {*marks, *(name for name, _ in membership.states)}


def _exists(
    plan: Plan, path: Path, row: Row, users: Sequence[str], tests: Sequence[Test]
) -> sql.Composable:
    ids = sql.SQL("array[{}]::text[]").format(sql.SQL(", ").join(map(sql.Literal, users)))
    parts: list[sql.Composable] = [sql.SQL("true")]
    parts += [sql.SQL("{} = {}").format(_text(a), _text(b)) for a, b in path.joined]
    parts += [sql.SQL("{} = any ({})").format(_text(c), ids) for c in path.caller if c.row]
    parts += [_arrays(c, ids) for c in path.among if c.row]
    parts += [_test(plan, path, test, f"r{test.cell.row}") for test in tests]
    tables = [
        sql.SQL("{} as {}").format(plan.by_label[label].identifier, sql.Identifier(f"r{number}"))
        for number, label in enumerate(path.tables)
    ]
    text = sql.SQL("exists (select from {} where {} and {})")
    own = sql.SQL("r0.ctid in (select ctid from {} where {})").format(
        row.relation.identifier, row.condition
    )
    return text.format(sql.SQL(", ").join(tables), own, sql.SQL(" and ").join(parts))


def _text(cell: Cell) -> sql.Composable:
    return sql.SQL("{}::text").format(sql.Identifier(f"r{cell.row}", cell.column))


def _arrays(cell: Cell, ids: sql.Composable) -> sql.Composable:
    return sql.SQL("{}::text[] && {}").format(sql.Identifier(f"r{cell.row}", cell.column), ids)


def _test(plan: Plan, path: Path, test: Test, table: str) -> sql.Composable:
    names = [table, test.cell.column] if table else [test.cell.column]
    name = sql.Identifier(*names)
    _, column = column_of(plan, path, test.cell)
    if test.operator in (IS_NULL, IS_NOT_NULL):
        return sql.SQL("{} {}").format(name, _NULL_TESTS[test.operator])
    if test.operator == CONTAINS_NOW:
        return sql.SQL("{} @> {}").format(name, sql.SQL(values.RANGES.get(column.base, "now()")))
    if test.value is None:
        return sql.SQL("{} {} now()").format(name, sql.SQL(test.operator))
    if test.others:
        texts = sql.SQL(", ").join(map(sql.Literal, (test.value, *test.others)))
        return sql.SQL("{}::text in ({})").format(name, texts)
    if test.operator in ("=", "<>"):
        return sql.SQL("{}::text {} {}").format(
            name, sql.SQL(test.operator), sql.Literal(test.value)
        )
    return sql.SQL("{} {} {}").format(name, sql.SQL(test.operator), sql.Literal(test.value))


@dataclass(eq=False)
class Making:
    """The values of the cells of a person's rows, as far as they are known: cells that are joined
    have one value.
    """

    plan: Plan
    one: Wanted
    known: dict[Cell, str | None] = field(default_factory=dict)
    _same: dict[Cell, Cell] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The first path, whose rows are those of all."""
        return self.one.paths[0]

    def begin(self, target: Tenant | None, user: str) -> bool:
        """Join the cells, and take the values of the rows of the policies, the user and the tests;
        False if they contradict one another. `target` is the tenant with the rows, None if none is
        connected.
        """
        for a, b in self.path.joined:
            if a.row:
                self._same[self._root(a)] = self._root(b)
        found: list[tuple[Cell, str | None]] = [
            (cell, user) for cell in self.path.caller if cell.row
        ]
        found += [(cell, values.array([user])) for cell in self.path.among if cell.row]
        for test in self.one.tests:
            relation = self.relation(test.cell.row)
            is_lapsed = test == self.one.lapsed
            value = (refusing if is_lapsed else satisfying)(self.plan, relation, test)
            if value != "" and (is_lapsed or not self._is_looked_up(test)):
                found.append((test.cell, value))
            elif is_lapsed:
                return False
        rows = {} if target is None else target.rows
        for path in self.one.paths:
            row = rows.get(self.plan.by_label[path.tables[0]].oid)
            if row is not None:
                found += [(b, row.values[a.column]) for a, b in path.links]
        are_bound = [self.bind(cell, value) for cell, value in found]
        return all(are_bound)

    def _is_looked_up(self, test: Test) -> bool:
        """Whether a row that exists may satisfy a test with some other value."""
        is_order = test.value is not None and test.operator != "="
        return is_order and not self.plan.owned(self.relation(test.cell.row))

    def _root(self, cell: Cell) -> Cell:
        while cell in self._same:
            cell = self._same[cell]
        return cell

    def bind(self, cell: Cell, value: str | None) -> bool:
        """Note the value of a cell; False if it has another one."""
        root = self._root(cell)
        return self.known.setdefault(root, value) == value

    def relation(self, row: int) -> Relation:
        """The table of a row."""
        return self.plan.by_label[self.path.tables[row]]

    def values(self, row: int) -> dict[str, str | None]:
        """The known values of a row."""
        found = {}
        for name in self.relation(row).by_name:
            root = self._root(Cell(row, name))
            if root in self.known:
                found[name] = self.known[root]
        return found

    def fits(self, row: int, of: Mapping[str, str | None]) -> bool:
        """Whether a row has all values that are known of it."""
        return all(of[name] == value for name, value in self.values(row).items())

    def take(self, row: int, of: Mapping[str, str | None]) -> None:
        """Note the values of a row that exists."""
        for name, value in of.items():
            self.bind(Cell(row, name), value)

    def needs(self, row: int, placed: frozenset[int]) -> bool:
        """Whether a row refers to another one that does not exist yet."""
        relation = self.relation(row)
        for a, b in self.path.joined:
            for own, other in ((a, b), (b, a)):
                if own.row != row or other.row in placed or not other.row:
                    continue
                target = self.relation(other.row).oid
                if any(
                    own.column in k.columns and k.target == target for k in relation.foreign_keys
                ):
                    return True
        return False

    def groups(self, row: int) -> Iterator[tuple[Cell, Relation]]:
        """The columns of a row without a value that are joined with another one and refer to the
        key of a table.
        """
        joined = set(chain.from_iterable(self.path.joined))
        for key in self.relation(row).foreign_keys:
            cell = Cell(row, key.columns[0])
            target = self.plan.catalog.by_oid.get(key.target or 0)
            if target is None or cell not in joined or self._root(cell) in self.known:
                continue
            if len(key.columns) == 1 and target.primary_key == key.target_columns:
                yield cell, target

    def is_of_user(self, row: int) -> bool:
        """Whether a row names the user."""
        return any(cell.row == row for cell in (*self.path.caller, *self.path.among))
