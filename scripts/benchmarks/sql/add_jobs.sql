-- $1 queued jobs, of every user in turn
with owners as materialized (
  select array_agg(u.id) as ids
  from auth.users as u
)

insert into public.async_jobs (url, user_id, created_at)
select
  'https://x.com/user/status/' || n.n,
  o.ids[1 + mod(n.n, cardinality(o.ids))],
  clock_timestamp()
from owners as o
cross join generate_series(1, $1::bigint) as n (n)
