"""Real prompts through real clients, over real sockets, against a model that only counts."""
