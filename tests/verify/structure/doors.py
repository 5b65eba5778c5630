"""What leads to our tables past row level security: the SQL that opens each door, what kind it is, and its name."""

JOBS = "public.async_jobs"

DOORS = {
    "a definer function in sql": (
        f"create function public.all_jobs() returns setof {JOBS} language sql security definer as"
        f" 'select * from {JOBS}'",
        "function",
        "public.all_jobs()",
    ),
    "one that builds its statement": (
        "create function public.all_jobs(t text) returns setof text language plpgsql security definer as"
        " $$ begin return query execute 'select url from \"async_jobs\"'; end $$",
        "function",
        "public.all_jobs(text)",
    ),
    "one whose body is parsed": (
        "create function public.job_count() returns bigint language sql security definer"
        f" begin atomic select count(*) from {JOBS}; end",
        "function",
        "public.job_count()",
    ),
    "one in another schema": (
        "create schema shop; grant usage on schema shop to anon;"
        f"create procedure shop.clear() language sql security definer as 'delete from {JOBS}'",
        "function",
        "shop.clear()",
    ),
    "one in capitals": (
        "create function public.job_count() returns bigint language sql security definer as"
        " 'SELECT COUNT(*) FROM PUBLIC.ASYNC_JOBS'",
        "function",
        "public.job_count()",
    ),
    "one over a view that only its owner may read": (
        f"create view public.every_job as select * from {JOBS};"
        "revoke all on public.every_job from public, anon, authenticated;"
        "create function public.all_jobs() returns setof public.every_job language sql security definer as"
        " 'select * from public.every_job'",
        "function",
        "public.all_jobs()",
    ),
    "one that calls one that runs as its caller": (
        f"create function private.every_job() returns setof {JOBS} language sql as 'select * from {JOBS}';"
        f"create function public.all_jobs() returns setof {JOBS} language sql security definer"
        " as 'select * from private.every_job()'",
        "function",
        "public.all_jobs()",
    ),
    "one that names the database as well": (
        "do $$ begin execute format('create function public.all_jobs() returns setof public.async_jobs language sql"
        " security definer as %L', 'select * from ' || current_database() || '.public.async_jobs'); end $$",
        "function",
        "public.all_jobs()",
    ),
    "one that an aggregate calls": (
        "create function private.add(text, uuid) returns text language sql security definer as"
        f" $$ select $1 || (select url from {JOBS} where id = $2) $$;"
        "revoke all on function private.add from public;"
        "create aggregate public.urls(uuid) (sfunc = private.add, stype = text, initcond = '')",
        "function",
        "private.add(text,uuid)",
    ),
    "a trigger of a table that guests write to": (
        "create table public.bell (x int); grant insert on public.bell to anon;"
        "create function public.ring() returns trigger language plpgsql security definer as"
        f" $$ begin delete from {JOBS}; return null; end $$;"
        "create trigger ring after insert on public.bell execute function public.ring()",
        "trigger",
        "public.ring()",
    ),
    "a view that runs as its owner": (
        f"create view public.all_jobs as select * from {JOBS}; grant select on public.all_jobs to anon",
        "view",
        "public.all_jobs",
    ),
    "a view for a role that the api takes on": (
        "create role staff; grant staff to authenticator;"
        f"create view public.all_jobs as select * from {JOBS};"
        "revoke all on public.all_jobs from anon, authenticated; grant select on public.all_jobs to staff",
        "view",
        "public.all_jobs",
    ),
    "a rule of another table": (
        "create table public.bell (x int); grant insert on public.bell to anon;"
        f"create rule ring as on insert to public.bell do also delete from {JOBS}",
        "rule",
        "public.bell",
    ),
    "a trigger that answers in the row": (
        "create table public.ask (x int, answer text); grant insert, select on public.ask to anon;"
        "create function public.reply() returns trigger language plpgsql security definer as"
        f" $$ begin new.answer := (select string_agg(url, ' ') from {JOBS}); return new; end $$;"
        "create trigger reply before insert on public.ask for each row execute function public.reply()",
        "trigger",
        "public.reply()",
    ),
    "a trigger that answers with another row": (
        "create table public.ask (x int, answer text); grant insert, select on public.ask to anon;"
        "create function public.reply() returns trigger language plpgsql security definer as"
        f" $$ declare r record; begin r := new; select string_agg(url, ' ') into r.answer from {JOBS};"
        " return r; end $$;"
        "create trigger reply before insert on public.ask for each row execute function public.reply()",
        "trigger",
        "public.reply()",
    ),
    "a trigger that makes the row anew": (
        "create table public.ask (x int, answer text); grant insert, select on public.ask to anon;"
        "create function public.reply() returns trigger language plpgsql security definer as"
        " $$ begin new := jsonb_populate_record(new, jsonb_build_object('answer',"
        f" (select string_agg(url, ' ') from {JOBS}))); return new; end $$;"
        "create trigger reply before insert on public.ask for each row execute function public.reply()",
        "trigger",
        "public.reply()",
    ),
    "a rule of a view that runs as its caller": (
        f"create view public.mine with (security_invoker = on) as select * from {JOBS};"
        f"create rule write as on update to public.mine do instead update {JOBS} set progress = 1 where id = old.id;"
        "grant update on public.mine to anon",
        "rule",
        "public.mine",
    ),
    "a copy of all columns": (
        f"create table public.jobs_backup as table {JOBS}",
        "copy",
        "public.jobs_backup",
    ),
    "an archive with a column more": (
        f"create table public.jobs_archive (like {JOBS}, archived_at timestamptz);"
        "grant select (url) on public.jobs_archive to anon",
        "copy",
        "public.jobs_archive",
    ),
}
