select
  set_config('role', 'authenticated', true),
  set_config('request.jwt.claims', jsonb_build_object('role', 'authenticated', 'sub', $1::uuid)::text, true)
