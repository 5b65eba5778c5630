-- What a command could leave behind: the next transaction, the end of the WAL, sequences, and counted changes.
select
  pg_snapshot_xmax(pg_current_snapshot())::text, pg_current_wal_insert_lsn()::text,
  (select jsonb_object_agg(s.sequencename, s.last_value) from pg_sequences as s),
  (
    select jsonb_object_agg(
      t.schemaname || '.' || t.relname, jsonb_build_array(t.n_tup_ins, t.n_tup_upd, t.n_tup_del, t.n_dead_tup)
    )
    from pg_stat_user_tables as t
  )
