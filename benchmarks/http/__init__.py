"""Requests a second and waits over HTTP: uvicorn, with each limiter and without one."""
