-- $1 days, $2 after, $3 size, $4 beyond
-- One batch of public.cleanup_old_jobs($1): the rule is the same (tests hold the two together), but the search
-- begins at $2 ($4: beyond it), the time at which the batch before ended. Without that each batch walks over the index entries
-- of all that were deleted before it, and where a long transaction keeps them from being marked as dead that
-- takes twenty times as long. By place (ctid), for the row was locked there a moment ago; the rule is asked
-- again because in a partitioned table a place is not one row's alone, as a CASE so that no index is used for it.
with due as materialized (
  select
    j.ctid as place,
    j.updated_at
  from public.async_jobs as j
  where j.status in ('completed', 'failed', 'cancelled')
    and j.updated_at >= $2::pg_catalog.timestamptz
    and (j.updated_at > $2::pg_catalog.timestamptz or not $4::pg_catalog.bool)
    and j.updated_at <= case $1::pg_catalog.int4
      when 0 then 'infinity'
      else pg_catalog.now() - pg_catalog.make_interval(days => least($1::pg_catalog.int4, 1000000), secs => 0.000001)
    end
  order by j.updated_at
  limit $3
  for update skip locked
),

gone as (
  delete from public.async_jobs as j
  where j.ctid = any(array(select d.place from due as d))
    and case
      when j.status in ('completed', 'failed', 'cancelled')
        then j.updated_at <= (select max(d.updated_at) from due as d)
    end
  returning j.id
)

select
  (select count(*) from due) as found,
  (select count(*) from gone) as deleted,
  -- as JSON writes it: the same whatever DateStyle is, and infinity too
  (select pg_catalog.to_json(max(d.updated_at)) #>> '{}' from due as d) as after,
  extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::pg_catalog.float8 as seconds
