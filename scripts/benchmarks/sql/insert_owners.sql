-- $1 guests, $2 users, $3 named guests, $4 named users
-- Insert guests and users; the first ones get the given ids.
with guests as (
  insert into public.guest_users (guest_id)
  select coalesce(($3::uuid[])[n], gen_random_uuid())
  from generate_series(1, $1::integer) as n
)

insert into auth.users (id)
select coalesce(($4::uuid[])[n], gen_random_uuid())
from generate_series(1, $2::integer) as n
