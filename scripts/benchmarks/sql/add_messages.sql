-- $1 messages of pgmq with a URL, as a job has
select count(*)
from pgmq.send_batch(
  'jobs',
  array(
    select jsonb_build_object('url', 'https://x.com/user/status/' || n.n)
    from generate_series(1, $1::bigint) as n (n)
  )
)
