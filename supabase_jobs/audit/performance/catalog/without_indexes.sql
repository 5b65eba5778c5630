-- The planner reads tables row by row, as it does if another condition of a query finds the rows.
select
  set_config('search_path', '', true),
  set_config('enable_indexscan', 'off', true),
  set_config('enable_indexonlyscan', 'off', true),
  set_config('enable_bitmapscan', 'off', true),
  set_config('enable_seqscan', 'on', true)
