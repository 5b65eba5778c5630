-- Bodies of functions: the n-th condition made true or false, weakened, its comparison turned; guards and locks taken
-- out. By pattern, in what is neither a comment nor a string; what does not compile is not planted.
with function as (
  select
    p.prosrc,
    pg_get_functiondef(p.oid) as definition,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where p.prokind = 'f'
    and p.prosrc <> ''
),

operator as (
  select
    o.name,
    o.description,
    o.replacement,
    '(?<=^([^''-]|-[^''-]|--[^\n]*\n|''[^'']*'')*)' || o.pattern as pattern
  from (
    values
    ('if-true', 'the guard is always true', '(?<!\mend )\mif\M.*?\mthen\M', 'if true then'),
    ('if-false', 'the guard is taken out', '(?<!\mend )\mif\M.*?\mthen\M', 'if false then'),
    ('where-true', 'the condition is always true', '\mwhere\M', 'where true or'),
    ('where-false', 'the condition is never true', '\mwhere\M', 'where false and'),
    ('and-or', 'AND is OR', '\mand\M', 'or'),
    ('or-and', 'OR is AND', '\mor\M', 'and'),
    ('null', 'IS NULL is IS NOT NULL', '\mis null\M', 'is not null'),
    ('distinct', 'IS DISTINCT FROM is IS NOT DISTINCT FROM', '\mis distinct from\M', 'is not distinct from'),
    ('not', 'NOT is left out', '(?<!\mis )\mnot\M(?! null)', ''),
    ('equal', '= is <>', '(?<=\m(where|and|or|on)\M\s+[\w.]+) = ', ' <> '),
    ('unequal', '<> is =', '<>', '='),
    ('less', '< is <=', '<(?![=>])', '<='),
    ('less-or-equal', '<= is <', '<=', '<'),
    ('greater', '> is >=', '(?<![-<=>])>(?![=>])', '>='),
    ('greater-or-equal', '>= is >', '>=', '>'),
    ('raise', 'nothing is refused', '\mraise exception\M', 'raise debug'),
    ('limit', 'no limit', '\mlimit \w+', ''),
    ('lock', 'no row is locked', '\mfor update( of \w+)?( skip locked| nowait)?', ''),
    ('skip', 'it waits for locked rows', '\mskip locked\M', ''),
    ('perform', 'a statement is left out', '\mperform [^;]*;', 'null;'),
    ('assign', 'an assignment gives null', ':= [^;]*;', ':= null;')
  ) as o (name, description, pattern, replacement)
),

place as (
  select
    f.object,
    f.prosrc,
    f.definition,
    o.name,
    o.description,
    o.pattern,
    o.replacement,
    n.number
  from function as f
  cross join operator as o
  cross join lateral generate_series(1, regexp_count(f.prosrc, o.pattern, 1, 'i')) as n (number)
  where f.object = any($1)
)

select
  format('%s-%s:%s', p.name, p.number, p.object) as id,
  p.object,
  format('%s, in: %s', p.description, left(
    regexp_replace(substr(p.prosrc, regexp_instr(p.prosrc, p.pattern, 1, p.number, 0, 'i')), '\s+', ' ', 'g'), 60
  )) as description,
  replace(p.definition, p.prosrc, regexp_replace(p.prosrc, p.pattern, p.replacement, 1, p.number, 'i')) || ';' as sql
from place as p
