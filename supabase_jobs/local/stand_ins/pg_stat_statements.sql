-- Stands in for the extension pg_stat_statements, which this installation of PostgreSQL lacks: nothing is recorded.

create or replace view extensions.pg_stat_statements as
select
  null::oid as userid,
  null::oid as dbid,
  null::bigint as queryid,
  null::text as query,
  null::bigint as calls,
  null::double precision as total_exec_time,
  null::double precision as mean_exec_time,
  null::bigint as rows
where false;
create or replace function extensions.pg_stat_statements_reset() returns void
language sql
as '';
