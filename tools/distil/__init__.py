"""How the shipped embedding is made: `python -m tools.distil`; its docstring says with what."""
