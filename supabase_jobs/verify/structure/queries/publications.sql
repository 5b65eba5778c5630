-- Publications that include a managed table. Supabase Realtime subscribes to supabase_realtime: it applies policies with the
-- JWT but without request headers, so a guest receives no changes, and it sends the key of a deleted row to every
-- subscriber. That key matters if rows of managed tables refer to it: it is that of an owner. Another publication reaches
-- logins that replicate, which read all rows anyway.
select
  format('%I.%I', t.schemaname, t.tablename) as object,
  'publication' as kind,
  t.pubname as name,
  concat_ws(
    ', and ',
    case
      when t.pubname <> 'supabase_realtime' then 'it publishes the rows to logins that replicate'
      else 'it publishes the rows; Realtime ignores request headers'
    end,
    case when t.pubname = 'supabase_realtime' and p.pubdelete then 'sends the key of a deleted row to every subscriber' end
  ) as value,
  '' as create_sql,
  case
    when r.oid is null then ''
    else format('alter publication %I drop table %I.%I;', t.pubname, t.schemaname, t.tablename)
  end as drop_sql,
  case
    when
      t.pubname = 'supabase_realtime'
      and p.pubdelete
      and exists (
        select 1 from pg_constraint as k
        inner join pg_class as c on k.conrelid = c.oid
        inner join pg_namespace as n on c.relnamespace = n.oid
        where k.contype = 'f'
          and k.confrelid = format('%I.%I', t.schemaname, t.tablename)::regclass
          and format('%I.%I', n.nspname, c.relname) = any($1)
      )
      then 'warning'
    else 'info'
  end as unexpected_severity,
  'warning' as deviation_severity
from pg_publication_tables as t
inner join pg_publication as p on t.pubname = p.pubname
left join pg_publication_rel as r
  on p.oid = r.prpubid and r.prrelid = format('%I.%I', t.schemaname, t.tablename)::regclass
where format('%I.%I', t.schemaname, t.tablename) = any($1)
