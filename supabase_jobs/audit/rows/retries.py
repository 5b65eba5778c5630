"""Inserts rows, with other candidates where the error of the database suggests them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

import psycopg
from psycopg import sql

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import check_constraints
from supabase_jobs.audit.rows.choices import Choices
from supabase_jobs.audit.rows.claims import claims_of
from supabase_jobs.audit.rows.insertion import (
    Choice,
    Insertion,
    is_progress,
    lacks_default,
    least,
    row_token,
    signature,
    statement_of,
    texts_of,
)
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Row, Tenant
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.request import CLAIMS, HEADERS, request_settings
from supabase_jobs.session.action import Constant
from supabase_jobs.session.savepoint import keeping, trying

# behind the rows that are inserted: one that is refused undoes no other
_SET = "select set_config(%s, %s, true), set_config(%s, %s, true)"
_NO_REQUEST = Statement(_SET, (CLAIMS, "", HEADERS, ""))


# a column of the new row in a trigger, and the text behind it in the same condition
_NEW_COLUMN = re.compile(r"\bnew\.(\w+)([^;]{0,80})", re.IGNORECASE)


class Retries:
    """Inserts rows on a connection, each again until one of its variants is accepted."""

    def __init__(
        self,
        connection: Connection,
        plan: Plan,
        tenants: Sequence[Tenant],
        choices: Choices,
        *,
        stable: bool,
    ) -> None:
        self._connection, self._plan, self._tenants = connection, plan, tenants
        self._choices, self._stable = choices, stable

    def insert_all(self, insertions: Sequence[Insertion]) -> None:
        """Insert rows, and try other values for those that the database rejects."""
        if not insertions:
            return
        self.first_attempt(insertions)
        for _ in range(LIMITS.insert_rounds):
            # a lock or a timeout would delay each retry too
            failed = [
                i
                for i in insertions
                if i.row is None and not isinstance(i.error, INCONCLUSIVE_ERRORS)
            ]
            if not failed:
                break
            self._retry(failed)

    def first_attempt(self, insertions: Sequence[Insertion]) -> None:
        """Insert the rows as they are chosen first."""
        groups = [self._group(i, i.chosen, keep=True) for i in insertions]
        for insertion, result in zip(insertions, run_groups(self._connection, groups), strict=True):
            insertion.tried.add(signature(insertion.chosen, insertion.with_claims))
            self._read(insertion, result)

    def _retry(self, failed: Sequence[Insertion]) -> None:
        """Try variants of each row in one round trip, and insert the first that succeeds in a
        second one.
        """
        variants = [(i, *variant) for i in failed for variant in self._variants(i)]
        groups = [
            self._group(i, chosen, keep=False, with_claims=claims)
            if chosen is not None
            else self._lookup(i)
            for i, chosen, claims in variants
        ]
        winners: dict[int, tuple[Insertion, dict[str, Choice], bool]] = {}
        last: dict[int, psycopg.Error] = {}
        for (insertion, chosen, claims), result in zip(
            variants, run_groups(self._connection, groups), strict=True
        ):
            if id(insertion) in winners or insertion.row is not None:
                continue
            if chosen is None:
                self._read_lookup(insertion, result)
                continue
            insertion.tried.add(signature(chosen, claims))
            if result.error is None:
                winners[id(insertion)] = insertion, chosen, claims
            elif not lacks_default(result.error, chosen) and (
                id(insertion) not in last or is_progress(result.error, insertion.error)
            ):
                last[id(insertion)] = result.error
                insertion.chosen, insertion.with_claims = chosen, claims
        for insertion in failed:
            insertion.error = last.get(id(insertion), insertion.error)
        if winners:
            for insertion, chosen, claims in winners.values():
                insertion.chosen, insertion.with_claims = chosen, claims
            self.first_attempt([insertion for insertion, _, _ in winners.values()])

    def _group(
        self,
        insertion: Insertion,
        chosen: Mapping[str, Choice],
        *,
        keep: bool,
        with_claims: bool | None = None,
    ) -> list[Statement]:
        claims = insertion.with_claims if with_claims is None else with_claims
        request = self._request(insertion) if claims else _NO_REQUEST
        insert = Statement(statement_of(insertion.relation, chosen).as_string(self._connection))
        return keeping(request, insert, _NO_REQUEST) if keep else trying(request, insert)

    def _request(self, insertion: Insertion) -> Statement:
        settings = request_settings(
            claims_of(insertion.tenant, insertion.user), insertion.tenant.headers or None
        )
        return Statement(_SET, (CLAIMS, settings[CLAIMS], HEADERS, settings.get(HEADERS, "")))

    def _read(self, insertion: Insertion, result: GroupResult) -> None:
        if result.error is not None:
            insertion.error = result.error
            return
        rows = result.answers[2].rows
        if rows:
            self._found(insertion, rows[0])

    def _found(self, insertion: Insertion, row: Sequence[Any]) -> None:
        ctid, *texts = row
        found = dict(zip((c.name for c in insertion.relation.columns), texts, strict=True))
        token = row_token(insertion.tenant, insertion.number)
        drawn = tuple(
            column.name
            for column in insertion.relation.columns
            if column.differs_in_each_run
            and insertion.chosen.get(column.name) != found[column.name]
        )
        insertion.row = Row(
            relation=insertion.relation,
            values=found,
            ctid=ctid,
            token=token,
            part=insertion.part,
            found_by=insertion.found_by,
            with_claims=insertion.with_claims,
            drawn=drawn,
            begun=self._begun(insertion, found),
            given={n: text for n, text in insertion.chosen.items() if isinstance(text, str)},
            state_of=insertion.state_of,
            depth=insertion.depth,
        )
        if insertion.part:
            insertion.user.extra.append(insertion.row)
        else:
            insertion.user.rows[insertion.relation.oid] = insertion.row

    def _begun(
        self, insertion: Insertion, found: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """The state in which a membership begins, if it has to be accepted and this one is."""
        membership = insertion.user.membership
        if membership is None or membership.relation is not insertion.relation:
            return {}
        if membership.invited is None or not insertion.user.is_member:
            return {}
        column, value = membership.invited
        is_other = membership.starts(column) == value != found[column]
        return {column: value} if is_other and value is not None else {}

    def _variants(self, insertion: Insertion) -> Iterator[tuple[dict[str, Choice] | None, bool]]:
        """(values, whether with claims) to try next; None: look for a row that a trigger has
        inserted.
        """
        error, count = insertion.error, 0
        candidates: list[tuple[dict[str, Choice] | None, bool]] = []
        is_duplicate = isinstance(
            error, psycopg.errors.UniqueViolation | psycopg.errors.ExclusionViolation
        )
        if is_duplicate and not insertion.part:
            candidates.append((None, True))
        for columns in self._suspects(insertion):
            for combination in self._combinations(insertion, columns):
                candidates.append(({**insertion.chosen, **combination}, insertion.with_claims))
        candidates.append((dict(insertion.chosen), not insertion.with_claims))
        minimal = {
            name: least(options, insertion.chosen[name])
            for name, options in insertion.choices.items()
        }
        candidates += [(minimal, True), (minimal, False)]
        for chosen, claims in candidates:
            if chosen is None:
                yield None, claims
                continue
            is_new = signature(chosen, claims) not in insertion.tried
            if is_new and count < LIMITS.insert_variants:
                count += 1
                yield chosen, claims

    def _suspects(self, insertion: Insertion) -> Iterator[list[str]]:
        """The groups of columns that the error may be about."""
        error = insertion.error
        if error is None:
            return
        name = error.diag.constraint_name
        constraint = next((c for c in insertion.relation.constraints if c.name == name), None)
        if constraint is not None:
            columns = (
                check_constraints.columns(constraint.definition)
                if constraint.definition
                else list(constraint.columns)
            )
            users = user_columns(insertion.relation, self._plan.usage, self._plan.per_user)
            # a row of a user rather than of a guest, if it cannot be both
            yield sorted(
                (c for c in columns if c in insertion.choices), key=lambda c: c not in users
            )
        if error.diag.context:  # a trigger
            bodies = " ".join(self._choices.bodies(insertion.relation))
            compared = dict.fromkeys(name for name, _ in _NEW_COLUMN.findall(bodies))
            yield [name for name in compared if name in insertion.choices]
        if error.diag.column_name in insertion.choices:
            yield [str(error.diag.column_name)]
        message = f"{error.diag.message_primary} {error.diag.message_detail or ''}"
        mentioned = [c for c in insertion.choices if c in message.replace('"', " ").split()]
        if mentioned:
            yield mentioned
        data_types = [
            c.name
            for c in insertion.relation.columns
            if c.type in message and c.name in insertion.choices
        ]
        if (error.sqlstate or "").startswith("22") or not (constraint or mentioned):
            yield from ([name] for name in data_types)
            yield from (
                [n]
                for n, options in insertion.choices.items()
                if len(options) > 1 and n not in data_types
            )

    def _combinations(
        self, insertion: Insertion, columns: Sequence[str]
    ) -> Iterator[dict[str, Choice]]:
        options = [
            insertion.choices[c][: LIMITS.combined_values]
            for c in columns[: LIMITS.combined_columns]
        ]
        for combination in islice(product(*options), LIMITS.combinations):
            yield dict(zip(columns, combination, strict=False))

    def _lookup(self, insertion: Insertion) -> list[Statement]:
        """The row that has the same unique values, such as one that a trigger has inserted."""
        relation = insertion.relation
        conditions = [
            sql.SQL("{} = {}").format(
                sql.Identifier(c), Constant(insertion.chosen[c], relation.by_name[c].type)
            )
            for c in self._conflict(insertion)
        ]
        condition = sql.SQL(" and ").join(conditions) if conditions else sql.SQL("false")
        query = sql.SQL("select ctid::text, {} from {} where {} limit 1").format(
            texts_of(relation), relation.identifier, condition
        )
        return trying(Statement(query.as_string(self._connection)))

    def _conflict(self, insertion: Insertion) -> tuple[str, ...]:
        """The columns of the key that another row has, too."""
        name = insertion.error.diag.constraint_name if insertion.error else None
        keys = [
            c.columns
            for c in insertion.relation.constraints
            if c.kind in ("p", "u", "x") and c.name == name
        ]
        return tuple(c for key in keys for c in key if isinstance(insertion.chosen.get(c), str))

    def _read_lookup(self, insertion: Insertion, result: GroupResult) -> None:
        if result.error is None and result.answers[-1].rows:
            [row] = result.answers[-1].rows
            taken = {other.ctid for other in self._rows_of_others(insertion)}
            if self._plan.owned(insertion.relation) and row[0] in taken:
                return  # another user's row has the same unique values: try others
            insertion.found_by = self._conflict(insertion)
            self._found(insertion, row)

    def _rows_of_others(self, insertion: Insertion) -> Iterator[Row]:
        """The rows of the same table that belong to other users."""
        for tenant in self._tenants:
            for user in tenant.users:
                if user is not insertion.user and insertion.relation.oid in user.rows:
                    yield user.rows[insertion.relation.oid]

    def add_tokens(self, insertions: Sequence[Insertion]) -> None:
        """Put the generated values into the empty columns of rows that triggers have inserted."""
        changes = [
            (i, column, value)
            for i in insertions
            if i.row is not None
            for column, value in self._missing(i, i.row)
        ]
        groups = []
        for insertion, column, value in changes:
            assert insertion.row is not None  # noqa: S101  filtered above
            statement = sql.SQL("update {} set {} = {} where {} returning ctid::text, {}").format(
                insertion.relation.identifier,
                sql.Identifier(column),
                Constant(value, insertion.relation.by_name[column].type),
                insertion.row.condition,
                texts_of(insertion.relation),
            )
            groups.append(keeping(Statement(statement.as_string(self._connection))))
        for (insertion, _, _), result in zip(
            changes, run_groups(self._connection, groups), strict=True
        ):
            if result.error is None and result.answers[1].rows:
                self._found(insertion, result.answers[1].rows[0])

    def _missing(self, insertion: Insertion, row: Row) -> Iterator[tuple[str, str]]:
        """The columns of a row that are null or an empty text, or name a tenant that sign-up has
        made or a state in which it waits, with the generated values.
        """
        relation = insertion.relation
        set_again = {*self._plan.tenants.get(relation.oid, ()), *self._choices.admitted(relation)}
        for column, chosen in insertion.chosen.items():
            current = row.values.get(column)
            is_kept = column not in set_again and not self._is_stable(relation, column)
            if current and (is_kept or current == chosen):
                continue
            options = [chosen] if current is None else [chosen, *insertion.choices[column]]
            value = next((option for option in options if isinstance(option, str)), None)
            if value is not None:
                yield column, value

    def _is_stable(self, relation: Relation, column: str) -> bool:
        """Whether a value replaces one that the server makes in each run."""
        return self._stable and relation.by_name[column].differs_in_each_run
