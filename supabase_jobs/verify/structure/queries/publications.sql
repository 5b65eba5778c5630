-- Publications that include a managed table. Supabase Realtime subscribes to one: it applies policies with the JWT but
-- without request headers, so a guest receives no changes, and it sends the key of a deleted row to every subscriber.
select
  format('%I.%I', t.schemaname, t.tablename) as object,
  'publication' as kind,
  t.pubname as name,
  'it publishes the rows; Realtime ignores request headers, and sends the key of a deleted row to every subscriber'
    as value,
  '' as create_sql,
  case
    when r.oid is null then ''
    else format('alter publication %I drop table %I.%I;', t.pubname, t.schemaname, t.tablename)
  end as drop_sql,
  'warning' as unexpected_severity,
  'warning' as deviation_severity
from pg_publication_tables as t
inner join pg_publication as p on t.pubname = p.pubname
left join pg_publication_rel as r
  on p.oid = r.prpubid and r.prrelid = format('%I.%I', t.schemaname, t.tablename)::regclass
where format('%I.%I', t.schemaname, t.tablename) = any($1)
