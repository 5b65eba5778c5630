-- The buckets of Storage, and whether anyone may read their objects by URL, which no policy limits.
select
  b.id,
  coalesce(b.public, false) as public
from storage.buckets as b
order by b.id
