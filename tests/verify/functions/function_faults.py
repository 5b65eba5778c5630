"""Faults in what functions, the trigger and cascades do: edits of the live definitions, and what names them."""

from dataclasses import dataclass

from supabase_jobs.database.connection import Connection

DEFINITION = "select pg_get_functiondef(%s::regprocedure)"


@dataclass(frozen=True)
class Edit:
    """A function in which one text is put in place of another; `named` stands in a finding."""

    name: str
    function: str
    old: str
    new: str
    named: str

    def plant(self, connection: Connection) -> None:
        """Create the function again, with the fault; the text has to be there, once or more."""
        row = connection.execute(DEFINITION, (self.function,)).fetchone()
        assert row is not None
        assert self.old in row[0]
        connection.execute(row[0].replace(self.old, self.new).encode())


@dataclass(frozen=True)
class Statement:
    """SQL that is a fault as it stands."""

    name: str
    sql: str
    named: str

    def plant(self, connection: Connection) -> None:
        """Run it."""
        connection.execute(self.sql.encode())


BODY = "private.migrate_guest_jobs(uuid,uuid)"
WRAPPER = "public.migrate_guest_jobs(uuid,uuid)"
OLD = "private.cleanup_old_jobs(integer,integer,timestamp with time zone)"
CUTOFF = "private.cleanup_cutoff(integer)"
COUNT_OLD = "private.count_old_jobs(integer)"
COUNT_GUESTS = "private.count_inactive_guests(integer,integer)"
OLD_WRAPPER = "public.cleanup_old_jobs(integer,integer)"
GUESTS = "private.cleanup_inactive_guests(integer,integer,timestamp with time zone)"
GUESTS_WRAPPER = "public.cleanup_inactive_guests(integer,integer)"
CLAIM = "public.claim_jobs(text,integer)"
REQUEUE = "public.requeue_stale_jobs(interval,integer,integer)"
WHO = "private.request_guest_id()"
TOUCH = "private.update_async_job_updated_at()"
TRIGGER = (
    "create or replace trigger update_async_job_updated_at_trigger before update{} on public.async_jobs for each row"
)

MIGRATE = (
    Edit("every guest's jobs move", BODY, "where j.guest_id = p_guest_id;", "where j.guest_id is not null;",
         "y_queued"),
    Edit("finished jobs stay behind", BODY, "where j.guest_id = p_guest_id;",
         "where j.guest_id = p_guest_id and j.status in ('queued', 'processing');", "x_completed should be changed"),
    Edit("jobs start anew", BODY, "set guest_id = null,", "set progress = 0, guest_id = null,", "progress = 0"),
    Edit("the wrong owner", BODY, "user_id = p_user_id",
         "user_id = (select id from auth.users where id <> p_user_id limit 1)",
         "x_queued should be changed to"),
    Edit("a repeat marks anew", BODY, "and g.migrated_to_user_id is distinct from p_user_id", "", "migrated_at = now"),
    Edit("the first mark stays", BODY, "is distinct from p_user_id", "is null", "guest_x should be changed"),
    Edit("every guest is marked", BODY, "where g.guest_id = p_guest_id\n    and", "where", "guest_y"),
    Edit("no guest is marked", BODY, "migrated_at = now()", "migrated_at = null", "migrated_at = now"),
    Edit("seen, too", BODY, "migrated_at = now()", "migrated_at = now(), last_seen_at = now()", "last_seen_at = now"),
    Edit("no count", BODY, "get diagnostics migrated_count = row_count", "migrated_count := 1", "results in 1"),
    Edit("no proof of the guest", BODY, "or p_guest_id is distinct from private.request_guest_id()", "",
         "without the guest's header"),
    Edit("no proof of the user", BODY, "p_user_id is distinct from auth.uid()\n      or", "", "names another user"),
    Edit("one proof is enough", BODY, "auth.uid()\n      or", "auth.uid()\n      and", "without the guest's header"),
    Edit("claims make a service", BODY, "pg_has_role(caller, 'service_role', 'usage')", "auth.role() = 'service_role'",
         "claims do not make a service"),
    Edit("the owner has to prove it too", BODY, "if caller <> current_user\n    and", "if true or", "the owner hands"),
    Edit("a null goes unnoticed", BODY, "p_guest_id is null or p_user_id is null", "p_guest_id is null",
         "no user is refused"),
    Edit("an unknown user goes unnoticed", BODY, "where u.id = p_user_id", "", "an unknown user is refused"),
    Edit("no lock", BODY, " for update;", ";", "the guest's row is locked"),
    Edit("all guests are locked", BODY, "where g.guest_id = p_guest_id for update", "where true for update",
         "and no other guest's"),
    Edit("another error", BODY, "'foreign_key_violation'", "'raise_exception'", "P0001"),
    Edit("arguments the other way round", WRAPPER, "(p_guest_id, p_user_id) as", "(p_user_id, p_guest_id) as",
         "x_queued"),
    Statement("its search_path leaks", f"alter function {BODY} reset search_path", "settings should be unchanged"),
)  # fmt: skip

CLEANUP = (
    Edit("active ones go", OLD, "j.status in ('completed', 'failed', 'cancelled')\n      and", "", "kept_queued"),
    Edit("cancelled ones stay", OLD, ", 'cancelled'", "", "expired_cancelled should be deleted"),
    Edit("processing counts as finished", OLD, "'cancelled'", "'cancelled', 'processing'", "kept_processing"),
    Edit("goes by created_at", OLD, "j.updated_at <= cutoff", "j.created_at <= cutoff",
         "expired_completed should be deleted"),
    Edit("not to the microsecond", CUTOFF, ", secs => 0.000001", "", "kept_edge should be unchanged"),
    Edit("a day late", CUTOFF, "days => least(p_days, 1000000)", "days => least(p_days, 1000000) + 1",
         "expired_edge should be"),
    Edit("no limit", OLD, "limit p_limit", "", "expired_cancelled should be unchanged"),
    Edit("always a limit", OLD, "limit p_limit", "limit least(p_limit, 3)", "results in 3"),
    Edit("newest first", OLD, "order by j.updated_at", "order by j.updated_at desc",
         "expired_failed should be deleted"),
    Edit("all jobs go", OLD, "where j.id = e.id and j.created_at = e.created_at", "where true",
         "x_queued should be unchanged, but is deleted"),
    Edit("no count", OLD, "(select count(*) from gone)", "2", "results in 2"),
    Edit("null days", OLD, "p_days is null or ", "", "no number of days"),
    Edit("negative days", OLD, "or p_days < 0", "", "negative number of days"),
    Edit("days are positive", OLD, "p_days < 0", "p_days <= 0", "0 days means"),
    Edit("a limit of 0", OLD, "p_limit < 1", "p_limit < 0", "limit of 0"),
    Edit("days overflow", CUTOFF, "least(p_days, 1000000)", "p_days", "more days than time has"),
    Edit("active ones are counted", COUNT_OLD, "j.status in ('completed', 'failed', 'cancelled')\n    and", "",
         "the count of old jobs"),
    Edit("cancelled ones are not counted", COUNT_OLD, ", 'cancelled'", "", "results in 3"),
    Edit("the wrapper forgets the limit", OLD_WRAPPER, "(p_days, p_limit,", "(p_days, null,", "expired_cancelled"),
    Statement("guests clean up", "grant execute on function public.cleanup_old_jobs, private.cleanup_old_jobs to anon",
              "a guest is refused"),
    Statement("a trigger keeps jobs",
              "create function public.keep() returns trigger language plpgsql as 'begin return null; end';"
              "create trigger keep before delete on public.async_jobs for each row execute function public.keep()",
              "expired_completed should be deleted, but is unchanged"),
)  # fmt: skip

INACTIVE = (
    Edit("seen ones go", GUESTS, "g.last_seen_at <= cutoff\n", "true\n",
         "seen_edge should be unchanged, but is deleted"),
    Edit("waiting ones go", GUESTS, "j.status in ('queued', 'processing')", "j.status in ('processing')",
         "waiting_job"),
    Edit("working ones go", GUESTS, "j.status in ('queued', 'processing')", "j.status in ('queued')", "working_job"),
    Edit("recent ones go", GUESTS, " or j.updated_at > cutoff", "", "recent_job should be unchanged, but is deleted"),
    Edit("a finished job keeps its guest", GUESTS, "j.updated_at > cutoff", "j.updated_at < cutoff",
         "lost_first should be deleted"),
    Edit("candidates are not looked at", GUESTS, "\n        where j.guest_id = g.guest_id", "\n        where false",
         "no more guests than the limit"),
    Edit("no limit", GUESTS, "limit p_limit", "", "lost_edge should be unchanged"),
    Edit("newest first", GUESTS, "order by g.last_seen_at", "order by g.last_seen_at desc",
         "lost_first should be deleted"),
    Edit("all guests go", GUESTS, "where g.guest_id = any(candidates)", "where true",
         "should be unchanged, but is deleted"),
    Edit("all jobs are locked", GUESTS, "\n    where j.guest_id = any(candidates)", "\n    where true",
         "are not locked"),
    Edit("negative days", GUESTS, "or p_days < 0", "", "guests: a negative number"),
    Edit("null days", GUESTS, "p_days is null or ", "", "guests: no number of days"),
    Edit("a limit of 0", GUESTS, "p_limit < 1", "p_limit < 0", "guests: a limit of 0"),
    Edit("days overflow", CUTOFF, "least(p_days, 1000000)", "p_days", "guests: more days"),
    Edit("all inactive ones are counted", COUNT_GUESTS, "and not exists", "or not exists",
         "the count of inactive guests"),
    Edit("deleted jobs count", COUNT_GUESTS,
         "greatest(private.cleanup_cutoff(p_days), private.cleanup_cutoff(p_job_days))",
         "private.cleanup_cutoff(p_days)", "a job that cleanup_old_jobs deletes"),
    Edit("the wrapper forgets the days", GUESTS_WRAPPER, "(p_days, p_limit,", "(30, p_limit,", "guests"),
)  # fmt: skip

TRIGGERS = (
    Statement("no trigger", "drop trigger update_async_job_updated_at_trigger on public.async_jobs",
              "updated_at = now"),
    Statement("where nothing was sent", TRIGGER.format("")
              + " when (old.updated_at = new.updated_at) execute function private.update_async_job_updated_at()",
              "whatever updated_at a guest sends"),
    Statement("where something changes", TRIGGER.format("")
              + " when (old.* is distinct from new.*) execute function private.update_async_job_updated_at()",
              "changes nothing, is an update"),
    Statement("for one column", TRIGGER.format(" of status")
              + " execute function private.update_async_job_updated_at()",
              "each row of an update"),
    Edit("created anew", TOUCH, "new.updated_at := now();", "new.updated_at := now(); new.created_at := now();",
         "created_at = now"),
    Edit("the clock's time", TOUCH, "now()", "clock_timestamp()", "updated_at = now"),
    Edit("the later time", TOUCH, "now()", "greatest(old.updated_at, now() - interval '1 hour')", "updated_at = now"),
)  # fmt: skip

FOREIGN_KEY = "alter table public.{} drop constraint {}, add constraint {} foreign key ({}) references {}"
CASCADES = (
    Statement("jobs hold their guest", FOREIGN_KEY.format("async_jobs", *["async_jobs_guest_id_fkey"] * 2, "guest_id",
              "public.guest_users"), "23503"),
    Statement("jobs hold their user", FOREIGN_KEY.format("async_jobs", *["async_jobs_user_id_fkey"] * 2, "user_id",
              "auth.users"), "23503"),
    Statement("jobs outlive their guest", "alter table public.async_jobs drop constraint async_jobs_guest_id_fkey",
              "x_queued should be deleted"),
    Statement("guests go with the user they became", FOREIGN_KEY.format(
              "guest_users", *["guest_users_migrated_to_user_id_fkey"] * 2, "migrated_to_user_id",
              "auth.users on delete cascade"),
              "guest_x should be changed to migrated_to_user_id = null, but is deleted"),
)  # fmt: skip

DROP = "alter table public.async_jobs drop constraint {}"
AGAIN = DROP + ", add constraint {} check ({})"
CONSTRAINTS = (
    Statement("no owner, or two", DROP.format("chk_user_or_guest"),
              "call 1 should result in 23514, but results in no row"),
    Statement("at most one owner", AGAIN.format(*["chk_user_or_guest"] * 2, "guest_id is null or user_id is null"),
              "exactly one owner: call 1"),
    Statement("any status", DROP.format("chk_valid_status"), "one of five: call 1"),
    Statement("any progress", DROP.format("chk_valid_progress"), "0 to 100: call 1"),
    Statement("99 is all", AGAIN.format(*["chk_valid_progress"] * 2, "progress >= 0 and progress < 100"),
              "0 to 100: call 5"),
    Statement("any URL", DROP.format("chk_url_length"), "2048 bytes: call 1"),
    Statement("characters instead of bytes", AGAIN.format(*["chk_url_length"] * 2, "length(url) between 1 and 2048"),
              "2048 bytes: call 3"),
    Statement("no URL", "alter table public.async_jobs alter url drop not null", "2048 bytes: call 4"),
)  # fmt: skip

CLAIMED = "private.is_claimed_by(public.async_jobs,text,uuid)"
WORKERS = (
    Edit("newest first", CLAIM, "desc, j.created_at\n", "desc, j.created_at desc\n", "next_first should be"),
    Edit("retries start anew", CLAIM, "private.metadata_retry_count(j.metadata)", "0", "metadata.retry_count = 0"),
    Edit("the worker's name would do", CLAIMED, "and (p_job).metadata ->> 'claim_id' = p_claim_id::pg_catalog.text",
         "", "by another claim"),
    Edit("any retry is the last", REQUEUE, ">= p_max_retries", ">= 0", "silent_first should be"),
    Edit("a sign of life is taken at its word", REQUEUE, "least(private.metadata_time(j.metadata, 'last_check'), ",
         "coalesce(private.metadata_time(j.metadata, 'last_check'), ", "silent_first should be changed"),
    Edit("the claim stays", REQUEUE, "- 'claim_id'", "", "silent_first should be changed to"),
)  # fmt: skip

REQUEST = (
    Edit("any spelling", WHO, "sent ~ ", "sent is not null or sent ~ ", "in braces"),
    Edit("lower case only", WHO, "0-9a-fA-F", "0-9a-f", "upper case is the same guest"),
    Edit("no way out", WHO, "when data_exception", "when division_by_zero", "not JSON"),
    Edit("another header", WHO, "x-guest-id", "x-other", "the id in the header"),
)

FAULTS = {
    "migrate": MIGRATE,
    "cleanup": CLEANUP,
    "inactive": INACTIVE,
    "trigger": TRIGGERS,
    "cascade": CASCADES,
    "constraint": CONSTRAINTS,
    "workers": WORKERS,
    "request": REQUEST,
}
