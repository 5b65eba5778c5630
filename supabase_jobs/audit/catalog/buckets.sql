-- The buckets of Storage.
select b.id
from storage.buckets as b
order by b.id
