-- $1 settings
-- A row if the caller is not the one that was kept.
select 'another caller' as what
where nullif(current_setting('verify.caller', true), '') <> (
    select concat_ws(' ', current_user, session_user, string_agg(current_setting(s.name, true), ' ' order by s.name))
    from unnest($1::text []) as s (name)
  )
