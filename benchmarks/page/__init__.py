"""The tables and pictures of docs/performance.md, made of results."""
