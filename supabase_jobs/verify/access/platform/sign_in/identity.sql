-- $1 user
-- The identity of a new user, by which Auth knows the provider.
insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
values ($1::uuid::text, $1::uuid, jsonb_build_object('sub', $1::uuid), 'email', now(), now(), now())
