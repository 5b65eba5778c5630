-- $1 minutes
-- As queries/stuck.sql, without the heartbeats of workers.
select
  t.status,
  t.jobs,
  t.id::pg_catalog.text as id,
  t.seconds
from (
  select
    j.status,
    j.id,
    count(*) over (partition by j.status) as jobs,
    extract(epoch from pg_catalog.now() - s.since)::pg_catalog.float8 as seconds,
    row_number() over (partition by j.status order by s.since) as place
  from public.async_jobs as j
  cross join lateral (
    select case j.status when 'queued' then j.created_at else j.updated_at end as since
  ) as s
  where j.status in ('queued', 'processing')
    and s.since < pg_catalog.now() - pg_catalog.make_interval(mins => $1::pg_catalog.int4)
    and s.since > '-infinity'
) as t
where t.place <= 5
order by t.status, t.place
