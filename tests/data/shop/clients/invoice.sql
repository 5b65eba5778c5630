insert into public.invoices (order_id, customer_id, number, amount) values ($1::bigint, $2::uuid, 0, 714290)
