"""Check the access area: undeclared privileges, exposed schemas, and every cell of the access
matrix.
"""

from collections.abc import Collection, Mapping, Sequence

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.session import script
from supabase_jobs.session.impersonation import Impersonation, Names, begin, make_names
from supabase_jobs.verify import other_values, ownership
from supabase_jobs.verify.access import (
    AREA,
    auth_functions,
    cleanup,
    privileges,
    role_settings,
)
from supabase_jobs.verify.access.cells import Cell, run_matrices
from supabase_jobs.verify.access.matrix import FILE_NAME, AccessDeclaration, load
from supabase_jobs.verify.access.platform import check as platform
from supabase_jobs.verify.access.platform.token_hook import Written
from supabase_jobs.verify.access.reach import check as reach
from supabase_jobs.verify.access.reach.candidate import functions_of, sources_of, tables_of
from supabase_jobs.verify.allowed import pins
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.fixture import insert_fixture


def check(connection: Connection, expectations: Expectations, context: Context) -> None:
    """Check this database against the access.toml of these sources."""
    if (file := context.declaration_file(AREA, expectations, FILE_NAME)) is None:
        return
    declared = load(file, expectations.variables)
    tables = {table for table, _, _ in declared.privileges} | ownership.managed_relations(
        expectations
    )
    managed = ownership.managed_names(expectations)
    found = privileges.check(connection, declared, tables, expectations, managed, context)
    run(
        connection,
        declared,
        expectations.variables,
        context,
        ownership.managed_objects(expectations),
        found,
    )
    pins.apply(connection, expectations.allowed, sorted(managed), context)


def declared_cases(expectations: Expectations, context: Context) -> None:
    """Add the cases of all cells, without a database."""
    if (file := context.declaration_file(AREA, expectations, FILE_NAME)) is not None:
        declared = load(file, expectations.variables)
        names = make_names(AREA, declared.ids, declared.placeholders, expectations.variables)
        context.preambles[AREA] = _preamble(declared, names)
        context.cases += [
            Cell(matrix, row, action).case(names)
            for matrix in declared.matrices
            for row in matrix.rows
            for action in matrix.actions
        ]


def run(
    connection: Connection,
    declared: AccessDeclaration,
    variables: Mapping[str, object],
    context: Context,
    managed: Collection[str],
    found: privileges.Found,
) -> None:
    """Insert the fixture rows and run every cell of every matrix; then try what the platform runs.

    `variables` fill the placeholders that are not ids (`$guest_header`). If an object that is not
    among `managed` blocks a cell, the cell is unchecked. Each batch inserts the rows that it needs,
    and undoes them.
    """
    impersonation = begin(connection, AREA, declared.ids, declared.placeholders, variables)

    def attempt(context: Context, texts: other_values.Texts) -> None:
        changed = other_values.replaced(declared, texts)
        _run(impersonation, changed, context, managed, found)

    other_values.until_none_refuses(context, declared.fixture.other_values, attempt)
    auth_functions.report_refused(found.functions, context)
    if not context.should_stop:
        sources = sources_of(found.reachable, found.exposed)
        functions = functions_of(found.reachable, found.exposed)
        written = Written(sources, functions, tables_of(found.reachable))
        platform.check(impersonation, found.of_platform, written, declared.reach, context)
    if f"{AREA}:fixture" in context.unchecked:  # not every cell was run
        return
    deviating = {finding.object for finding in context.findings if finding.area == AREA}
    context.equivalence.matching |= {matrix.object for matrix in declared.matrices} - deviating


def _run(
    impersonation: Impersonation,
    declared: AccessDeclaration,
    context: Context,
    managed: Collection[str],
    found: privileges.Found,
) -> None:
    context.preambles[AREA] = _preamble(declared, impersonation)
    if (
        inserted := insert_fixture(impersonation, AREA, declared.fixture, context, managed)
    ) is None:
        return
    declared = other_values.replaced(declared, inserted.texts).without(inserted.left_out)
    context.preambles[AREA] = _preamble(declared, impersonation, inserted.users)
    run_matrices(impersonation, declared.matrices, managed, context, inserted.frame)
    if not context.should_stop:
        reach.check(
            impersonation,
            found.reachable,
            found.exposed,
            declared,
            inserted.frame,
            context,
            platform.hooks_of_messages(found.of_platform),
        )
        tables = tables_of(found.reachable)
        cleanup.check(impersonation, tables, declared.reach, inserted.frame, context)
        requests = declared.reach.requests
        role_settings.check(impersonation, found.of_roles, requests, inserted.frame, context)


def _preamble(
    declared: AccessDeclaration, names: Names, users: Sequence[Statement] | None = None
) -> str:
    about = "The access matrix: which identity may do what with whose rows."
    return script.preamble(about, declared.fixture.script(names, users))
