"""Check what the platform runs besides requests: sign-up and sign-in as Auth, the access token
hook, the function before each request, and the event triggers of logins.

Each is run as the platform runs it, for a user of this run, and undone.
"""
