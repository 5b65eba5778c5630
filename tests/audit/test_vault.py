"""Secrets of Vault that views and functions show."""

from pathlib import Path

import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.findings import Severity
from supabase_jobs.local import stand_ins
from tests.audit.conftest import run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

VAULT = Path(stand_ins.__file__).with_name("supabase_vault.sql").read_text(encoding="utf-8")
SHOWING = """
select vault.create_secret('from the migrations', 'mail_key');
create function public.mail_key() returns text language sql stable security definer set search_path = ''
as $$ select decrypted_secret from vault.decrypted_secrets where name = 'mail_key' $$;
create view public.all_keys as select name, decrypted_secret from vault.decrypted_secrets;
"""
USING = """
create function public.is_mail_set_up() returns boolean language sql stable security definer set search_path = ''
as $$ select exists (select from vault.decrypted_secrets where name = 'mail_key') $$;
create function public.private_key() returns text language sql stable security definer set search_path = ''
as $$ select decrypted_secret from vault.decrypted_secrets where name = 'mail_key' $$;
revoke execute on function public.private_key() from public, anon, authenticated;
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    """A database with Vault, which only a superuser can create."""
    database = session_copy(request, "vault", "services", DEFAULT_MAJOR)
    with connect(database.superuser_url) as superuser:
        superuser.execute(VAULT.encode())
    return database.url


def test_secrets_of_vault_are_found(url: str) -> None:
    with connect(url) as connection, connection.transaction(force_rollback=True):
        connection.execute((SHOWING + USING).encode())
        found = {f.id: f for f in run_audit(connection).findings if f.severity is Severity.ERROR}
        assert set(found) == {"vault-secret:public.mail_key()", "vault-secret:public.all_keys"}
        for finding in found.values():
            # one that takes something from the owner is a comment with the statement
            statement = finding.fix.partition("run:\n-- ")[2] or finding.fix
            connection.execute(statement.encode())
        again = [
            f.id
            for f in run_audit(connection, repairs=False).findings
            if f.severity is Severity.ERROR
        ]
        kept = connection.execute("select decrypted_secret from vault.decrypted_secrets").fetchall()
    assert again == []
    assert kept == [("from the migrations",)]
