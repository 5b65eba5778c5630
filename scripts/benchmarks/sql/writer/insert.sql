-- Insert a job of a guest.
insert into public.async_jobs (url, guest_id)
select
  'https://x.com/user/status/1',
  g.guest_id
from public.guest_users as g
order by g.last_seen_at
limit 1
