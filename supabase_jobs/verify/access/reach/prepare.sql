-- What a function could show of another user: tokens, a secret of Vault and a setting. What cannot be inserted is left out.
do $$
declare
  victim constant uuid := current_setting('verify.victim');
  secret constant text := current_setting('verify.secret');
begin
  perform set_config('verify.email', coalesce((select u.email from auth.users as u where u.id = victim), ''), true);
  perform set_config('verify.canary', secret || ' setting', true);
  begin
    update auth.users as u
    set recovery_token = secret || ' token', encrypted_password = secret || ' token'
    where u.id = victim;
  exception when others then
    null;
  end;
  begin
    insert into auth.sessions (id, user_id) values (victim, victim);
  exception when others then
    null;
  end;
  begin
    -- the sequence may be behind rows that were copied with their numbers
    insert into auth.refresh_tokens (id, token, user_id, session_id) values (-1, secret || ' token', victim, victim);
  exception when others then
    null;
  end;
  begin
    perform vault.create_secret(secret || ' key', 'verify ' || victim);
  exception when others then
    null;
  end;
end
$$
