"""REST API of the embedded server: PostgREST behind a gateway that checks API keys."""
