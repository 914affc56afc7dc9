"""What every store promises, as tests to inherit; our own stores pass the same.

| class | what it proves | needs |
|---|---|---|
| `StoreContract` | each promise, by a test of its own | pytest, anyio |
| `StoreMachine` | anything in any order, beside a log that forgets nothing | hypothesis |
| `StoreConcurrency` | limits hold among tasks, threads and processes | pytest |

Subclass each and say how a store is made. They are loaded one by one, so that who wants the first
needs nothing of the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.testing.contracts.concurrency import StoreConcurrency
    from querybudget.testing.contracts.machine import StoreMachine
    from querybudget.testing.contracts.store import StoreContract

__all__ = ["StoreConcurrency", "StoreContract", "StoreMachine"]

_ROOMS = {
    "StoreConcurrency": "concurrency",
    "StoreContract": "store",
    "StoreMachine": "machine",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is asked for
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{room}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("querybudget"):
            raise
        raise SetupError(
            f"{name} needs {error.name}, which is not installed: pip install {error.name}"
        ) from error
