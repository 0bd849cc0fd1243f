"""Servers.  Needs the extra `serve` (Starlette, Uvicorn); importing this package loads neither."""
