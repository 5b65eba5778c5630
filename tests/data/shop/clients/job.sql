insert into public.async_jobs (url, user_id, metadata) values ('https://nightjar.example/', $1::uuid, '{"title": "nightjar"}')
