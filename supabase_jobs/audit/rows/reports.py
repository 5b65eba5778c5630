"""Reports of the tables of which no row could be inserted."""

from psycopg import sql

from supabase_jobs.audit import configuration
from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.configuration import Configuration
from supabase_jobs.audit.rows.insertion import Insertion, columns_at_fault
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.database.errors import named_objects, sqlstate_and_message
from supabase_jobs.findings import NotTested
from supabase_jobs.session.action import Constant


class Reports:
    """The tables without rows, in the list `not_tested`."""

    def __init__(self, plan: Plan, configured: Configuration) -> None:
        self._plan, self._configuration = plan, configured
        self.not_tested: list[NotTested] = []

    def report(self, insertion: Insertion) -> None:
        """Report a table of which a row could not be inserted."""
        relation, error = insertion.relation, insertion.error
        if relation.label in self._configuration.excluded:
            return
        if error is None:
            why = "a trigger discarded the generated row"
        else:
            name = named_objects(error).constraint
            why = f"no row could be generated: {sqlstate_and_message(error)}" + (
                f" ({name})" if name else ""
            )
        self.not_tested.append(NotTested(relation.label, why, self._help(insertion)))

    def report_parent(self, relation: Relation, column: Column) -> None:
        """Report a table whose rows refer to one without rows."""
        if relation.label in self._configuration.excluded:
            return
        [key] = [k for k in relation.foreign_keys if column.name in k.columns][:1]
        target = self._plan.catalog.by_oid.get(key.target or 0)
        why = f"no row could be generated: {column.name} needs a row of {key.target_name}"
        if (
            any(key in step.later.get(relation.oid, ()) for step in self._plan.steps)
            and not key.deferrable
        ):
            alter = sql.SQL("alter table {} alter constraint {} deferrable;")
            fix = alter.format(relation.identifier, sql.Identifier(key.name)).as_string(None)
            why += ", which needs a row of this table"
            help_ = f"Allow both in one transaction: {fix} Or: {self._exclusion(relation)}"
        elif target is not None and target.is_table and not target.is_storage:
            help_ = f"Make rows of {target.label} possible first: it is reported too."
        else:
            at = sql.Identifier(key.target_columns[key.columns.index(column.name)])
            existing = sql.SQL("(select {} from {} limit 1)").format(
                at, sql.SQL(key.target_name or "")
            )
            help_ = self._remedy(relation, column.name, existing.as_string(None))
        self.not_tested.append(NotTested(relation.label, why, help_))

    def _help(self, insertion: Insertion) -> str:
        """Lines of audit.toml with the value that was tried last for a column that the error is
        about.
        """
        relation = insertion.relation
        at_fault = [n for n in columns_at_fault(insertion) if n in insertion.chosen]
        for name in at_fault or insertion.chosen:
            value = insertion.chosen[name]
            if isinstance(value, str):
                return self._remedy(
                    relation, name, Constant(value, relation.by_name[name].type).as_string(None)
                )
        return self._exclusion(relation)

    def _exclusion(self, relation: Relation) -> str:
        declared = bool(self._configuration.excluded)
        return "Exclude it" + configuration.lines(
            ("excluded",), relation.label, "no row can be generated", declared
        )

    def _remedy(self, relation: Relation, column: str, value: str) -> str:
        declared = bool(self._configuration.values(relation))
        return "Give the value" + configuration.lines(
            ("rows", relation.label), column, value, declared
        )
