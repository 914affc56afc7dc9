"""What every store promises, as tests to inherit. querybudget's own stores pass them.

| class | what it proves | needs |
|---|---|---|
| `StoreContract` | each promise, in a test of its own | pytest, anyio |
| `StoreMachine` | any calls in any order, compared with an oracle | pytest, Hypothesis |
| `StoreConcurrency` | limits hold across tasks, threads and processes | pytest |

Subclass each class and say how your store is made. `StoreMachine` is imported at its first use, so
that the other two do not need Hypothesis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from querybudget.errors import SetupError
from querybudget.testing.contracts.concurrency import StoreConcurrency
from querybudget.testing.contracts.store import StoreContract

if TYPE_CHECKING:
    from querybudget.testing.contracts.machine import StoreMachine

__all__ = ["StoreConcurrency", "StoreContract", "StoreMachine"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class, or an error
    if name != "StoreMachine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from querybudget.testing.contracts.machine import StoreMachine  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("querybudget"):
            raise
        raise SetupError(
            f"{name} needs {error.name}, which is not installed: pip install {error.name}"
        ) from error
    return StoreMachine
