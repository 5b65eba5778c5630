-- $1 queued jobs of one user
insert into public.with_checks (url, user_id, metadata)
select
  'https://x.com/user/status/' || n.n,
  (select min(u.id::text)::uuid from auth.users as u),
  jsonb_build_object('item_id', gen_random_uuid(), 'platform', 'x', 'retry_count', 0)
from generate_series(1, $1::bigint) as n (n)
