"""Checks of what a policy has its server write and send."""

from __future__ import annotations

from querybudget.policy.diagnostics import Problems
from querybudget.policy.outputs import TrafficLogSettings, WebhookSettings

MIN_SECRET = 16
"""Bytes of a secret that signs."""


def check_outputs(
    log: TrafficLogSettings | None, webhooks: WebhookSettings | None, problems: Problems
) -> None:
    """Note what is wrong with them."""
    if log is not None and not log.rotate.every:
        problems.add(("traffic_log", "rotate", "every"), "expected more than zero, found 0")
    if webhooks is None:
        return
    if webhooks.url and not webhooks.url.startswith(("http://", "https://")):
        problems.add(("webhooks", "url"), "expected a URL that begins with http:// or https://")
    if webhooks.secret and len(webhooks.secret.encode()) < MIN_SECRET:
        found = len(webhooks.secret.encode())
        message = f"expected {MIN_SECRET} bytes or more, found {found}"
        problems.add(("webhooks", "secret"), f"{message} (`openssl rand -hex 32` makes some)")
    if not webhooks.every:
        problems.add(("webhooks", "every"), "expected more than zero, found 0")
