"""Checks of what a policy has its server write and send, and of secrets."""

from __future__ import annotations

from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.outputs import TrafficLogSettings, WebhookSettings

MIN_SECRET = 16
"""Bytes of a secret, at least."""


def check_outputs(
    log: TrafficLogSettings | None, webhooks: WebhookSettings | None, problems: Problems
) -> None:
    """Note what is wrong with a traffic log, or with webhooks."""
    if log is not None and not log.rotate.every:
        problems.add(("traffic_log", "rotate", "every"), "expected more than zero, found 0")
    if webhooks is None:
        return
    if webhooks.url and not webhooks.url.startswith(("http://", "https://")):
        problems.add(("webhooks", "url"), "expected a URL that begins with http:// or https://")
    if webhooks.secret:
        check_secret(webhooks.secret, ("webhooks", "secret"), problems)
    if not webhooks.every:
        problems.add(("webhooks", "every"), "expected more than zero, found 0")


def check_secret(secret: str, path: Path, problems: Problems) -> None:
    """Check that a secret is long enough that nobody can guess it."""
    found = len(secret.encode())
    if found < MIN_SECRET:
        message = f"expected {MIN_SECRET} bytes or more, found {found}"
        problems.add(path, f"{message} (`openssl rand -hex 32` makes some)")
