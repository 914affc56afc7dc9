"""Webhooks: signed messages to your own systems about what operators need to know at once."""
