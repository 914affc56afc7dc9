"""What `querybudget check` says of what a policy has its server write, send and show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from querybudget.policy.model import Policy
from querybudget.policy.outputs import TrafficLogSettings, WebhookKind, WebhookSettings
from querybudget.text import span

_MEGABYTE = 1_000_000
_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def outputs(policy: Policy) -> Iterator[str]:
    """What a server with this policy writes, sends and shows, one line for each."""
    if policy.traffic_log is not None:
        yield from _log(policy.traffic_log)
    if policy.webhooks is not None:
        yield _hooks(policy.webhooks)
    if policy.metrics.prometheus:
        path = policy.metrics.prometheus
        yield f"metrics: Prometheus scrapes {path}, and anyone who reaches it may read it"
    if policy.metrics.opentelemetry:
        signals = " and ".join(policy.metrics.opentelemetry)
        yield f"{signals} go to OpenTelemetry's SDK, as it is set up in the process"


def output_warnings(policy: Policy) -> Iterator[str]:
    """What will not work here; the server may have what this machine lacks."""
    log, hooks = policy.traffic_log, policy.webhooks
    if log is not None:
        if problem := unwritable(Path(log.path)):
            yield f"the traffic log cannot be written here: {problem}"
        if log.path.endswith(".zst") and find_spec("zstandard") is None:
            yield _missing("the traffic log needs", "zstandard", "encodings")
    if hooks is not None:
        url = urlsplit(hooks.url)
        if url.scheme == "http" and url.hostname not in _LOCAL:
            yield f"webhooks go to {url.hostname} without encryption: https would hide them"
    if policy.metrics.prometheus and find_spec("prometheus_client") is None:
        yield _missing("metrics need", "prometheus-client", "prometheus")
    if policy.metrics.opentelemetry and find_spec("opentelemetry") is None:
        yield _missing("OpenTelemetry needs", "opentelemetry-api", "opentelemetry")


def unwritable(path: Path) -> str:
    """Return why no file can be made beside a path, by this user; empty if one can."""
    if path.is_dir():
        return f"expected a file, found the folder {path}"
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent  # those below are made
    if not folder.is_dir():
        return f"expected a folder, found the file {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"this user may not write to the folder {folder}"
    return ""


def _log(log: TrafficLogSettings) -> Iterator[str]:
    packed = next(
        (f", as {name}" for end, name in _COMPRESSED.items() if log.path.endswith(end)), ""
    )
    prompts = "with prompts in plain text" if log.prompts else "without prompts"
    yield f"traffic log: each call is written beside {Path(log.path).absolute()}{packed}, {prompts}"
    rotate = log.rotate
    yield (
        f"  each process begins another file after {rotate.size / _MEGABYTE:,.0f} MB or"
        f" {span(rotate.every)}; {rotate.keep:,} files are kept"
    )


def _hooks(hooks: WebhookSettings) -> str:
    url = urlsplit(hooks.url)
    about = ", ".join(one.value for one in hooks.events or WebhookKind)
    return (
        f"webhooks: signed messages go to {url.scheme}://{url.hostname} about {about}, each at most"
        f" once in {span(hooks.every)}"
    )


def _missing(needs: str, package: str, extra: str) -> str:
    return f"{needs} the package {package} on this machine: pip install 'querybudget[{extra}]'"
