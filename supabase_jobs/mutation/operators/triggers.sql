-- Triggers: dropped, disabled, with another timing, event, level or condition.
select
  array[v.operator, t.object, t.tgname] as id,
  t.object,
  format('trigger "%s": %s', t.tgname, v.description) as description,
  v.sql
from (
  select
    g.*,
    format('%I.%I', n.nspname, c.relname) as object,
    format('drop trigger %I on %I.%I;', g.tgname, n.nspname, c.relname) as drop,
    format('alter table %I.%I ', n.nspname, c.relname) as alter,
    pg_get_triggerdef(g.oid) as definition,
    a.attname
  from pg_trigger as g
  inner join pg_class as c on g.tgrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join pg_attribute as a on c.oid = a.attrelid and a.attnum = 1
  where not g.tgisinternal
) as t
cross join lateral (
  values
  ('drop', 'dropped', t.drop),
  ('disabled', 'disabled', t.alter || format('disable trigger %I;', t.tgname)),
  ('replica', 'fires on replicas only', t.alter || format('enable replica trigger %I;', t.tgname)),
  ('always', 'fires on replicas as well', t.alter || format('enable always trigger %I;', t.tgname)),
  ('after', 'AFTER instead of BEFORE', t.drop || replace(t.definition, ' BEFORE ', ' AFTER ') || ';'),
  ('before', 'BEFORE instead of AFTER', t.drop || replace(t.definition, ' AFTER ', ' BEFORE ') || ';'),
  ('statement', 'FOR EACH STATEMENT', t.drop || replace(t.definition, ' FOR EACH ROW ', ' FOR EACH STATEMENT ') || ';'),
  ('insert', 'fires on INSERT', t.drop || replace(t.definition, ' UPDATE ON ', ' INSERT ON ') || ';'),
  ('update', 'fires on UPDATE', t.drop || regexp_replace(t.definition, ' (INSERT|DELETE) ON ', ' UPDATE ON ') || ';'),
  ('column', 'fires only if UPDATE sets the first column',
    t.drop || replace(t.definition, ' UPDATE ON ', format(' UPDATE OF %I ON ', t.attname)) || ';'),
  ('never', 'WHEN (false)',
    t.drop || regexp_replace(t.definition, '( WHEN \(.*\))? EXECUTE FUNCTION ', ' WHEN (false) EXECUTE FUNCTION ') || ';')
) as v (operator, description, sql)
where t.object = any($1)
  -- PostgreSQL has no such triggers
  and not (v.operator = 'before' and t.definition like '% REFERENCING %')
  and not (v.operator = 'insert' and t.definition like '% INSERT OR UPDATE ON %')
  and not (v.operator = 'insert' and t.definition ~ ' WHEN \(.*\mold\.')
  and not (v.operator = 'statement' and t.definition ~ ' WHEN \(.*\m(new|old)\.')
  and v.sql <> t.drop || t.definition || ';'
