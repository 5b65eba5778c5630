-- $1 days, $2 guest_days
-- How many guests public.cleanup_inactive_guests($2) would delete, once public.cleanup_old_jobs($1) has run: a job
-- that this deletes keeps no guest.
with limits as (
  select
    case $1::pg_catalog.int4
      when 0 then 'infinity'
      else pg_catalog.now() - pg_catalog.make_interval(days => least($1::pg_catalog.int4, 1000000), secs => 0.000001)
    end as jobs,
    case $2::pg_catalog.int4
      when 0 then 'infinity'
      else pg_catalog.now() - pg_catalog.make_interval(days => least($2::pg_catalog.int4, 1000000), secs => 0.000001)
    end as guests
)

select count(*) as total
from public.guest_users as g
where g.last_seen_at <= (select l.guests from limits as l)
  and not exists (
    select 1 from public.async_jobs as j
    where j.guest_id = g.guest_id
      and (
        j.status in ('queued', 'processing')
        or (j.updated_at > (select l.guests from limits as l) and j.updated_at > (select l.jobs from limits as l))
      )
  )
