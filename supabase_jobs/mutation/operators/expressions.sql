-- Expressions of policies, CHECK constraints and index predicates: AND and OR exchanged, a condition removed, a
-- comparison, bound or list changed. Patterns match outside strings in the result of pg_get_expr, which puts each
-- condition in parentheses.
with expression as (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    x.kind,
    x.name,
    x.text,
    x.head,
    x.tail
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join lateral (
    select
      v.kind,
      p.polname as name,
      v.text,
      format('alter policy %I on %I.%I %s ', p.polname, n.nspname, c.relname, v.clause) as head,
      '' as tail
    from pg_policy as p
    cross join lateral (
      values
      ('using', 'using', pg_get_expr(p.polqual, p.polrelid)),
      ('check', 'with check', pg_get_expr(p.polwithcheck, p.polrelid))
    ) as v (kind, clause, text)
    where p.polrelid = c.oid
    union all
    select
      'constraint',
      k.conname,
      pg_get_expr(k.conbin, k.conrelid),
      format('alter table %I.%I drop constraint %I, add constraint %I check ', n.nspname, c.relname, k.conname, k.conname),
      ''
    from pg_constraint as k
    where k.conrelid = c.oid and k.contype = 'c'
    union all
    select
      'index',
      i.relname,
      d.predicate,
      format('drop index %I.%I; ', n.nspname, i.relname) || split_part(d.whole, ' WHERE ' || d.predicate, 1) || ' where ',
      split_part(d.whole, ' WHERE ' || d.predicate, 2)
    from pg_index as x
    inner join pg_class as i on x.indexrelid = i.oid
    cross join lateral (
      select
        pg_get_indexdef(x.indexrelid) as whole,
        pg_get_expr(x.indpred, x.indrelid) as predicate
    ) as d
    where x.indrelid = c.oid
  ) as x
  where x.text is not null
),

operator as (
  select
    o.name,
    o.description,
    o.replacement,
    '(?<=^([^'']|''[^'']*'')*)' || o.pattern as pattern
  from (
    values
    ('and-or', 'AND replaced by OR', ' AND ', ' OR '),
    ('or-and', 'OR replaced by AND', ' OR ', ' AND '),
    ('before-and', 'the condition before AND removed', '\) AND ', ' OR true) AND '),
    ('after-and', 'the condition after AND removed', ' AND \((?! ?SELECT)', ' AND (true OR '),
    ('before-or', 'the condition before OR removed', '\) OR ', ' AND false) OR '),
    ('after-or', 'the condition after OR removed', ' OR \((?! ?SELECT)', ' OR (false AND '),
    ('not', 'NOT removed', '\(NOT ', '('),
    ('null', 'IS NULL replaced by IS NOT NULL', ' IS NULL', ' IS NOT NULL'),
    ('not-null', 'IS NOT NULL replaced by IS NULL', ' IS NOT NULL', ' IS NULL'),
    ('equal', '= replaced by <>', ' = (?!ANY)', ' <> '),
    ('unequal', '<> replaced by =', ' <> (?!ALL)', ' = '),
    ('less', '< replaced by <=', ' < ', ' <= '),
    ('less-or-equal', '<= replaced by <', ' <= ', ' < '),
    ('greater', '> replaced by >=', ' > ', ' >= '),
    ('greater-or-equal', '>= replaced by >', ' >= ', ' > '),
    ('more', 'a number incremented', '(?<![\w.:''])(\d+)(?![\w.''])', '(\2 + 1)'),
    ('list', 'a value of a list removed',
      '((?<=\[)''[^'']*''::\w+( \w+)*, |, ''[^'']*''::\w+( \w+)*(?=[,\]]))', '')
  ) as o (name, description, pattern, replacement)
)

select
  array[format('%s-%s', o.name, i.number), e.object, e.kind, e.name] as id,
  e.object,
  format('%s "%s": %s, in %s', e.kind, e.name, o.description, e.text) as description,
  e.head || '(' || regexp_replace(e.text, o.pattern, o.replacement, 1, i.number) || ')' || e.tail || ';' as sql,
  o.description as change
from expression as e
cross join operator as o
cross join lateral generate_series(1, regexp_count(e.text, o.pattern)) as i (number)
where e.object = any($1)
  -- for a single condition, other operators negate the whole expression
  and not (o.name in ('not', 'null', 'not-null', 'equal', 'unequal') and e.text !~ ' (AND|OR) ')
