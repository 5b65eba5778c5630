insert into public.orders (customer_id, product_id, note) values ($1::uuid, 1, 'nightjar') returning id
