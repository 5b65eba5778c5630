"""Columns in which an update lasts: those that no trigger sets and no constraint refuses, whoever
changes them.
"""

from collections.abc import Sequence

from psycopg import errors

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.known import Known
from supabase_jobs.audit.probes.new_values import NewValues
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement
from supabase_jobs.session.runner import OwnerProbe, Runner


class LastingColumns:
    """Knows the columns whose new value does not last, and chooses others.

    `restored` are the columns of each table that a trigger restores or sets, whoever changes them;
    `refused` those whose new value a constraint refuses in some row.
    """

    def __init__(self, world: World, known: Known) -> None:
        """`known` has the columns that an earlier run on the same rows found."""
        self._world, self._plan = world, world.plan
        self.restored: dict[int, set[str]] = dict(known.restored)
        self.refused: dict[int, set[str]] = dict(known.refused)

    def find(
        self, tables: Sequence[Relation], caller: Persona, values: NewValues, runner: Runner
    ) -> None:
        """Note the columns whose new value a trigger replaces for the database's owner too, such as
        `updated_at`, or a constraint refuses in some row: that shows nothing about a caller.
        """
        tried: list[tuple[Row, str]] = []
        controls: list[Statement] = []
        for relation in tables:
            first = self._world.a.rows.get(relation.oid)
            has_checks = any(constraint.kind == "c" for constraint in relation.constraints)
            if first is None or not (relation.triggers or has_checks):
                continue
            states = [row for row in self._world.a.states if row.relation is relation]
            for column in self.by_weight(relation, relation.columns)[: LIMITS.controls]:
                for row in (first, *(states if has_checks else ())):
                    value = values.of(row, column, caller)[0]
                    tried.append((row, column.name))
                    controls.append(statements.lasting_update(row, column.name, value))
        if not controls:
            return
        probe = OwnerProbe(controls)
        runner.run([probe])
        for (row, name), result in zip(tried, probe.results, strict=True):
            oid = row.relation.oid
            answers = [] if result.error is not None else result.answers[0].rows
            if isinstance(result.error, errors.IntegrityError):
                self.refused.setdefault(oid, set()).add(name)
            elif answers and not answers[0][0] and row is self._world.a.rows[oid]:
                self.restored.setdefault(oid, set()).add(name)

    def by_weight(self, relation: Relation, columns: Sequence[Column]) -> list[Column]:
        """The columns, first those whose update has the fewest side effects and lasts."""
        return sorted(columns, key=lambda column: self._weight(relation, column))

    def _weight(self, relation: Relation, column: Column) -> int:
        """The lower, the fewer side effects an update of the column has."""
        does_not_last = any(
            column.name in known.get(relation.oid, ()) for known in (self.restored, self.refused)
        )
        key = any(column.name in k for k in relation.unique_keys)
        foreign = any(column.name in k.columns for k in relation.foreign_keys)
        identifies = column.name in user_columns(relation, self._plan.usage, self._plan.per_user)
        mentioned = column.name in self._plan.usage.mentions.words
        return 32 * does_not_last + 8 * identifies + 4 * foreign + 4 * key + mentioned
