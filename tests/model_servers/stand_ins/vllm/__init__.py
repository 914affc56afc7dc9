"""A stand-in for vLLM 0.33.0, which needs a GPU: what it does with a middleware, and no more."""
