-- completed jobs among those with the ids $1
select
from public.async_jobs as j
where j.id = any($1::uuid[]) and j.status = 'completed' and j.result is not null
