"""Webhooks: signed messages to your own systems about what operators need to know at once."""

from querybudget.webhooks.delivery import SIGNATURE, Message, Sender, signature
from querybudget.webhooks.noticing import Webhooks

__all__ = ["SIGNATURE", "Message", "Sender", "Webhooks", "signature"]
