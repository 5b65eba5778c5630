-- Every index is valid: after a failed CREATE INDEX CONCURRENTLY, writes update the index, but no query uses it.
select
  format('%I.%I', n.nspname, c.relname) as object,
  i.relname as name,
  format('index "%s" is invalid: writes update it, but no query uses it', i.relname) as message,
  format('reindex index concurrently %I.%I;', m.nspname, i.relname) as fix,
  case
    when ($1::jsonb -> 'recorded') ? format('%I.%I:index:%s', n.nspname, c.relname, i.relname) then 'error'
    else 'warning'
  end as severity,
  '{}'::text[] as facts,
  false as accepted_by_name,
  format('reindex index %I.%I;', m.nspname, i.relname) as tried_fix
from pg_index as x
inner join pg_class as i on x.indexrelid = i.oid
inner join pg_namespace as m on i.relnamespace = m.oid
inner join pg_class as c on x.indrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, c.relname)
  and not (x.indisvalid and x.indisready)
  -- the check of the declared queries reports their indexes
  and not ($1::jsonb -> 'query_indexes') ? format('%I.%I', m.nspname, i.relname)
