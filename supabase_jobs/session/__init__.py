"""Act as a caller: who it is, what it does, what came of it; and how users sign up."""
