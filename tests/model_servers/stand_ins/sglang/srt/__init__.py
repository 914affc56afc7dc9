"""A stand-in for SGLang 0.5.23, which needs a GPU: how it starts, and no more."""
