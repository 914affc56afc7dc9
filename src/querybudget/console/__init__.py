"""The console: a Starlette application that shows what the limiter does, and changes it."""
