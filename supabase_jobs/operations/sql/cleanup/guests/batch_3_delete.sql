-- $1 guest_days, $2 candidates, $3 held
-- The guests of whom it is still so, now that nobody can add or change a job of theirs; their jobs go with them.
with gone as (
  delete from public.guest_users as g
  where g.guest_id = any($2::pg_catalog.uuid[])
    and not exists (
      select 1 from public.async_jobs as j
      where j.guest_id = g.guest_id
        and (
          j.status in ('queued', 'processing')
          or j.updated_at > case $1::pg_catalog.int4
            when 0 then 'infinity'
            else pg_catalog.now()
              - pg_catalog.make_interval(days => least($1::pg_catalog.int4, 1000000), secs => 0.000001)
          end
          -- looked up in a hash table; `<> all($3)` may go through the whole array for each job
          or j.id not in (select h.id from pg_catalog.unnest($3::pg_catalog.uuid[]) as h (id))
        )
    )
  returning g.guest_id
)

select
  count(*) as deleted,
  extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::pg_catalog.float8 as seconds
from gone
