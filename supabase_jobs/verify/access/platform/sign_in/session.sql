-- $1 user
-- A session as Auth begins it at each sign-in.
insert into auth.sessions (id, user_id, created_at, updated_at)
values ($1::uuid, $1::uuid, now(), now())
