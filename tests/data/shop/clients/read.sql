select o.id, p.name, p.price from public.orders as o inner join public.products as p on o.product_id = p.id where o.id = $1
