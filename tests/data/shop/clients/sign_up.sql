insert into auth.users (id, email, aud, role) values ($1::uuid, $1::uuid || '@nightjar.example', 'authenticated', 'authenticated')
