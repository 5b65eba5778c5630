-- $1 rows, $2 named guests, $3 named users, $4 shuffled
-- Insert the oldest first, as an application does, or in random order. By age:
--   the oldest 2,000 (at most 5%)     finished 8 to 10 days ago, the jobs of one day for the next cleanup
--   the oldest 300,000 (at most 30%)  finished 4 to 7 days ago, deleted by `cleanup --days 4`, with the former
--   up to the first 96%               finished less than 4 days ago
--   2%, 2%                            processing, queued
-- Owners alternate. The first named guest and user have 100 jobs each at every size, 4 of them active, so that the
-- results of the queries do not grow with the table; the second have 5,000 each (5% of fewer than a million rows).
-- Ten jobs share a URL; URL 123 has additional jobs of the first named guest and user.
with owners as materialized (
  select
    (
      select array_agg(g.guest_id) from public.guest_users as g
      where g.guest_id <> all($2::uuid[])
    ) as guests,
    (
      select array_agg(u.id) from auth.users as u
      where u.id <> all($3::uuid[])
    ) as users
),

sizes as (
  select
    $1::bigint as total,
    $1::bigint / 100 as few,
    greatest($1::bigint / 10000 * 2, 20) as many,
    least(2000, $1::bigint / 20) as expired,
    least(300000, $1::bigint * 3 / 10) as old
),

numbered as (
  select n.n
  from generate_series(1, $1::bigint) as n (n)
  order by case when $4::boolean then hashint8(n.n) else n.n end
),

placed as (
  select
    n.n,
    s.total,
    case -- the even ones; few and many are even too
      when mod(n.n, s.few) = 0 then ($2::uuid[])[1]
      when mod(n.n, s.many) = 2 then ($2::uuid[])[2]
      when mod(n.n, 2) = 0 then o.guests[1 + mod(n.n / 2, cardinality(o.guests))]
    end as guest,
    case
      when mod(n.n, s.few) = 1 then ($3::uuid[])[1]
      when mod(n.n, s.many) = 3 then ($3::uuid[])[2]
      else o.users[1 + mod(n.n / 2, cardinality(o.users))]
    end as account,
    case
      when n.n > s.total * 98 / 100 then 'queued'
      when n.n > s.total * 96 / 100 then 'processing'
      when mod(n.n, 20) = 5 then 'failed'
      when mod(n.n, 20) = 12 then 'cancelled'
      else 'completed'
    end as status,
    now() - case
      when n.n <= s.expired
        then interval '8 days' + interval '2 days' * (s.expired - n.n) / s.expired
      when n.n <= s.old
        then interval '97 hours' + interval '60 hours' * (s.old - n.n) / s.old
      else interval '88 hours' * (s.total - n.n) / s.total
    end as moment
  from numbered as n
  cross join sizes as s
  cross join owners as o
)

insert into public.async_jobs (url, status, progress, result, error, guest_id, user_id, created_at, updated_at, metadata)
select
  'https://x.com/user/status/' || case when p.n - p.total / 2 in (0, 1) then 123 else mod(p.n, p.total / 10) end,
  p.status,
  case p.status when 'queued' then 0 when 'processing' then 50 else 100 end,
  case
    when p.status = 'completed' then jsonb_build_object(
      'media', jsonb_build_object('post_id', p.n::text, 'type', 'video'),
      'transcription', repeat(md5(p.n::text) || ' ', 4),
      'metrics', jsonb_build_object('likes', mod(p.n, 1000), 'views', mod(p.n, 100000))
    )
  end,
  case when p.status = 'failed' then 'Timeout error: job took too long' end,
  p.guest,
  case when p.guest is null then p.account end,
  p.moment - interval '5 minutes',
  p.moment,
  case
    when p.status = 'queued' then jsonb_build_object('platform', 'x')
    else jsonb_build_object('platform', 'x', 'retry_count', 0, 'server_id', 'worker-' || mod(p.n, 8))
  end
from placed as p
