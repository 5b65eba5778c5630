// Runs the example of docs/security.md as a page would, and prints what came of it. Auth is answered here; every
// other request goes to the real API.
import { createClient } from '@supabase/supabase-js'
import { signIn } from './move.mjs'

const { url, key, guest, user, token } = JSON.parse(process.argv[2])
let signups = 0

async function throughAuth(input, init) {
  if (String(input).startsWith(`${url}/auth/v1/signup`)) {
    signups += 1
    const session = { access_token: token, token_type: 'bearer', expires_in: 3600, refresh_token: 'refresh', user }
    return new Response(JSON.stringify(session), { headers: { 'Content-Type': 'application/json' } })
  }
  return fetch(input, init)
}

const kept = new Map([['guest_id', guest]])
const storage = {
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, value) => kept.set(name, value),
  removeItem: (name) => kept.delete(name),
}
// older versions of Node have no WebSocket, and nothing here needs one
const realtime = { transport: class {} }
const options = { auth: { storage, autoRefreshToken: false }, global: { fetch: throughAuth }, realtime }
const client = createClient(url, key, {
  ...options,
  global: { ...options.global, headers: { 'X-Guest-Id': storage.getItem('guest_id') } },
})

const signedIn = await signIn(client, storage)
// the next visit: a client without the header, the session is kept
const later = createClient(url, key, options)
const again = await signIn(later, storage)
const { data: jobs } = await later.from('async_jobs').select('id,guest_id')
console.log(JSON.stringify({ user: signedIn.id, left: storage.getItem('guest_id'), again: again.id, signups, jobs }))
process.exit(0)
