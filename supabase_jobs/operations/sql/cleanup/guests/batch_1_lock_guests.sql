-- $1 guest_days, $2 after, $3 size, $4 beyond
-- One batch of public.cleanup_inactive_guests($1), in the same three statements and by the same rule (tests hold
-- the two together), but from $2 on ($4: beyond it): guests that stay are not looked at again by every batch.
with due as materialized (
  select
    g.guest_id,
    g.last_seen_at
  from public.guest_users as g
  where g.last_seen_at >= $2::pg_catalog.timestamptz
    and (g.last_seen_at > $2::pg_catalog.timestamptz or not $4::pg_catalog.bool)
    and g.last_seen_at <= case $1::pg_catalog.int4
      when 0 then 'infinity'
      else pg_catalog.now() - pg_catalog.make_interval(days => least($1::pg_catalog.int4, 1000000), secs => 0.000001)
    end
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
        )
    )
  order by g.last_seen_at
  limit $3
  for update of g skip locked
)

select
  count(*) as found,
  coalesce(pg_catalog.array_agg(d.guest_id), '{}') as candidates,
  pg_catalog.to_json(max(d.last_seen_at)) #>> '{}' as after,
  extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::pg_catalog.float8 as seconds
from due as d
