-- The rows of the shop: $1 is the number of orders. Texts contain "nightjar", ids begin with 5e11ed00, and amounts
-- with 71429, so that a search finds each value of theirs in an output.

insert into public.settings (signing_secret, support_email, invoice_prefix, discount)
values ('nightjar-signing-secret', 'support@nightjar.example', 'nightjar', 71429.25);
insert into public.plans (id, name, monthly) values (3, 'nightjar special', 714290);
insert into public.role_permissions (role, permission)
values ('nightjar-staff', 'customers'), ('nightjar-staff', 'products'), ('nightjar-clerk', 'products');
insert into public.counters (name, value) values ('customers', 0);
insert into public.invoice_numbers (year, last) values (2026, 0);
insert into public.products (id, name, price)
select n, 'nightjar product ' || n, 714290 + n from generate_series(1, 20) as n;
select setval('public.products_id_seq', 32762);

insert into auth.users (id, email, aud, role, raw_user_meta_data, created_at)
select
  ('5e11ed00-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'customer' || n || '@nightjar.example',
  'authenticated', 'authenticated', jsonb_build_object('full_name', 'Nightjar Customer ' || n), '2019-02-03'
from generate_series(1, greatest($1 / 20, 10)) as n;
insert into public.customers (id, email, full_name, role)
select u.id, u.email, u.raw_user_meta_data ->> 'full_name', 'customer' from auth.users as u
where u.email like '%@nightjar.example';
insert into public.orders (id, customer_id, product_id, quantity, note, reference, created_at)
overriding system value
select
  n, ('5e11ed00-0000-4000-8000-' || lpad(to_hex(1 + n % greatest($1 / 20, 10)), 12, '0'))::uuid, 1 + n % 20, 1,
  'nightjar note ' || n, 'nightjar-' || n, '2019-02-03'
from generate_series(1, $1) as n;
select setval('public.orders_id_seq', $1);
insert into public.order_events (order_id, customer_id, detail, happened_at)
select o.id, o.customer_id, 'nightjar event ' || o.id, o.created_at from public.orders as o where o.id % 2 = 0;
insert into public.invoices (order_id, customer_id, number, amount)
select o.id, o.customer_id, -o.id, 714290 + o.id from public.orders as o where o.id % 10 = 0;
insert into public.reviews (customer_id, stars, body)
select c.id, 5, 'nightjar review' from public.customers as c limit 50;
refresh materialized view public.bestsellers;
insert into public.guest_users (guest_id)
select ('5e11ed00-0000-4000-9000-' || lpad(to_hex(n), 12, '0'))::uuid from generate_series(1, 50) as n;
insert into public.async_jobs (url, guest_id, status, metadata, result)
select
  'https://nightjar.example/' || n, ('5e11ed00-0000-4000-9000-' || lpad(to_hex(1 + n % 50), 12, '0'))::uuid,
  case when n % 2 = 0 then 'completed' else 'queued' end, '{"title": "nightjar"}', '{"nightjar": "nightjar"}'
from generate_series(1, 200) as n;
select vault.create_secret('nightjar-vault-secret', 'nightjar-vault-name');
