-- Publications that send the rows on. Supabase Realtime is a subscriber: it applies policies by the JWT alone and knows
-- no request header, so a guest hears nothing; and of a deleted row it sends the key to everybody.
select
  format('%I.%I', t.schemaname, t.tablename) as object,
  'publication' as kind,
  t.pubname as name,
  'it sends the rows on; Realtime knows no request headers, and sends the key of a deleted row to everybody' as value,
  '' as mend,
  case
    when r.oid is null then ''
    else format('alter publication %I drop table %I.%I;', t.pubname, t.schemaname, t.tablename)
  end as remove,
  'warning' as unexpected,
  'warning' as differs
from pg_publication_tables as t
inner join pg_publication as p on t.pubname = p.pubname
left join pg_publication_rel as r
  on p.oid = r.prpubid and r.prrelid = format('%I.%I', t.schemaname, t.tablename)::regclass
where format('%I.%I', t.schemaname, t.tablename) = any($1)
