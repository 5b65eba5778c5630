"""Connections: addresses, libpq options, TLS, errors."""
