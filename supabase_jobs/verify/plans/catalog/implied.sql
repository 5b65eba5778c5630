-- A statement whose plan is empty where all rows of a table ($1, called $2) that a condition ($3) lets through are rows
-- for which a predicate ($4) is true. For such a proof the planner passes over conditions that hold a stable
-- function, as auth.uid() is in the end; in a sub-select, its value is a constant.
select
  format(
    'select from %s as %I where (%s) and not (%s)',
    $1::text,
    $2::text,
    regexp_replace($3::text, '\mcurrent_setting\(''[^'']*''::text(, (true|false))?\)|\m[\w.]+\(\)', '(select \&)', 'g'),
    $4::text
  ) as statement
