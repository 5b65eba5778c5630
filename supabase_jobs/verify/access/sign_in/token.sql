-- $1 user
-- The refresh token of a session.
insert into auth.refresh_tokens (token, user_id, session_id, created_at, updated_at)
values ('verify ' || $1, $1, $1::uuid, now(), now())
