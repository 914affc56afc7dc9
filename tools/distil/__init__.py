"""Makes the shipped embedding: `python -m tools.distil`; its docstring lists what it needs."""
