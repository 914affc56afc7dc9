"""A model server of an example's size, for tests: it answers in every dialect, and can fail.

server.py    FakeModel, an ASGI application
reply.py     what it answers
dialects.py  answers in each dialect
"""
