-- Rewrite rules, which can copy rows to other tables.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'rule' as kind,
  r.rulename as name,
  pg_get_ruledef(r.oid) as value,
  pg_get_ruledef(r.oid) as create_sql,
  format('drop rule %I on %I.%I;', r.rulename, n.nspname, c.relname) as drop_sql,
  'error' as unexpected_severity,
  'error' as deviation_severity
from pg_rewrite as r
inner join pg_class as c on r.ev_class = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where format('%I.%I', n.nspname, c.relname) = any($1)
  and r.rulename <> '_RETURN'
