"""`querybudget demo`: budgets at work in the terminal.

A real server on a local port, real HTTP, and ten kinds of callers at once. Only the model is fake.
"""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from pathlib import Path

from querybudget.errors import SetupError
from querybudget.policy.model import Policy

__all__ = ["POLICY", "run"]

POLICY = Path(__file__).with_name("policy.yaml")
"""The demo's policy."""

_SMALL = (
    "Its limits are small, so that seconds show them: 80 buckets, where real ones are about 1,000."
)


def run(*, seconds: float = 12.0, plain: bool = False, policy: str | None = None) -> int:
    """Run the demo.

    Args:
        seconds: How long the traffic takes.
        plain: Print events line by line, as the demo also does if standard output is no terminal.
        policy: Path of a policy to use instead of the demo's.

    Returns:
        The exit status: 0 once every caller is done.

    Raises:
        PolicyError: The policy is wrong.
        SetupError: The extra `demo` is not installed.
    """
    missing = [name for name in ("uvicorn", "rich") if find_spec(name) is None]
    if missing:
        raise SetupError(
            f"the demo needs {' and '.join(missing)}: python -m pip install 'querybudget[demo]'"
        )
    loaded = Policy.load(policy or POLICY)
    import asyncio  # noqa: PLC0415 - not before the extra is known to be there

    from querybudget.demo.show import show  # noqa: PLC0415

    # asyncio warns when the model goes on writing to callers whom Ctrl-C has stopped.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    asyncio.run(show(loaded, seconds, plain=plain or not sys.stdout.isatty()))
    if policy is None:
        print(f"\n{_SMALL} The policy: {POLICY}")
    return 0
