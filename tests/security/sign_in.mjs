// Runs the example `move` of docs/security.md and prints the result as JSON. This script answers requests to Auth;
// all other requests go to the real API.
import { createClient } from '@supabase/supabase-js'
import { signIn } from './move.mjs'

const { url, key, guest, user, token } = JSON.parse(process.argv[2])
let signups = 0

async function fetchWithAuth(input, init) {
  if (String(input).startsWith(`${url}/auth/v1/signup`)) {
    signups += 1
    const session = { access_token: token, token_type: 'bearer', expires_in: 3600, refresh_token: 'refresh', user }
    return new Response(JSON.stringify(session), { headers: { 'Content-Type': 'application/json' } })
  }
  return fetch(input, init)
}

const items = new Map([['guest_id', guest]])
const storage = {
  getItem: (name) => items.get(name) ?? null,
  setItem: (name, value) => items.set(name, value),
  removeItem: (name) => items.delete(name),
}
// older versions of Node have no WebSocket; this script does not use Realtime
const realtime = { transport: class {} }
const options = { auth: { storage, autoRefreshToken: false }, global: { fetch: fetchWithAuth }, realtime }
const client = createClient(url, key, {
  ...options,
  global: { ...options.global, headers: { 'X-Guest-Id': storage.getItem('guest_id') } },
})

const signedIn = await signIn(client, storage)
// the next visit: a client without the header and with the stored session
const nextVisit = createClient(url, key, options)
const again = await signIn(nextVisit, storage)
const { data: jobs } = await nextVisit.from('async_jobs').select('id,guest_id')
console.log(JSON.stringify({ user: signedIn.id, stored_guest_id: storage.getItem('guest_id'), next_visit_user: again.id, signups, jobs }))
process.exit(0)
