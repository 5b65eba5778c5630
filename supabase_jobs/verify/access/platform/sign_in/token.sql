-- $1 user
-- The refresh token of a session, with a number that no sequence gives: a rollback would not give one of those back.
insert into auth.refresh_tokens (id, token, user_id, session_id, created_at, updated_at)
values (-1, 'verify ' || $1, $1, $1::uuid, now(), now())
