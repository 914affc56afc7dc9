"""Whether another worker of the same server counts in a memory of its own.

Workers have the same parent process. The first that uses a policy binds a name in Linux's abstract
socket namespace, made of that parent and the policy's hash; the next finds it taken. No file is
left behind: the name is free when its process ends, however that ends. Elsewhere, the environment
variable that servers take their number of workers from has to do.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys

from querybudget.backends import Guarantees
from querybudget.limiter import Limiter
from querybudget.limiter.notices import fingerprint
from querybudget.stores import Declares

logger = logging.getLogger("querybudget")

WORKERS = "WEB_CONCURRENCY"
"""The number of workers, for uvicorn and gunicorn."""

_bound: dict[str, tuple[int, socket.socket]] = {}
"""The names that this process has bound, by themselves, with its id: a fork inherits them."""


def warn_of_workers(limiter: Limiter) -> None:
    """Log if accounts are in this process's memory and another worker has its own."""
    if not limiter.policy.budgets or not _in_memory(limiter):
        return
    if _another(fingerprint(limiter.policy)):
        logger.warning(
            "several workers use this policy, and each counts in a memory of its own: a caller gets"
            " each limit once from every worker. Let them share a store, such as"
            " `store: sqlite:///budgets.db`"
        )


def _in_memory(limiter: Limiter) -> bool:
    store = limiter.store
    guarantees: Guarantees | None = store.guarantees if isinstance(store, Declares) else None
    return limiter.place.startswith("memory://") or (
        guarantees is not None and not guarantees.shared
    )


def _another(policy: str) -> bool:
    """Return True if another process with the same parent uses the policy."""
    if not sys.platform.startswith("linux"):
        return os.environ.get(WORKERS, "1") not in {"", "0", "1"}
    name = f"\0querybudget-{os.getuid()}-{os.getppid()}-{policy}"
    if name in _bound and _bound[name][0] == os.getpid():
        return False
    mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mine.bind(name)
    except OSError as error:
        mine.close()
        return error.errno == errno.EADDRINUSE
    _bound[name] = (os.getpid(), mine)
    return False
