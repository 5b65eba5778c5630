-- Each index of a partition, with the index of the parent that it belongs to.
select
  child.relname as name,
  parent.relname as parent
from pg_inherits as i
inner join pg_class as child on i.inhrelid = child.oid
inner join pg_class as parent on i.inhparent = parent.oid
where parent.relkind = 'I'
