"""New ground as a log without texts has it: what calls entered, and their callers' scores."""

from __future__ import annotations

from collections.abc import Iterable

from querybudget.adapters.base import Call
from querybudget.coverage import KnownGround, Observation
from querybudget.policy.model import Policy
from querybudget.traffic.record import TrafficRecord


class LoggedGround:
    """A prompt analyzer that takes what the log says of each call.

    Args:
        policy: Its capabilities are looked for.

    Attributes:
        names: Names of the capabilities.
        record: Of the call that is decided next.
    """

    def __init__(self, policy: Policy) -> None:
        self.names = tuple(capability.name for capability in policy.capabilities)
        self.record = TrafficRecord(at=0)

    async def analyze(self, call: Call, caller: str = "", /) -> Observation:  # noqa: ARG002 - of the protocol
        """Return what the log says of the call."""
        record = self.record
        shown = (name in record.capabilities for name in self.names)
        return Observation(
            capabilities=sum(bit << number for number, bit in enumerate(shown)),
            known=KnownGround(record.novelty, record.scores, record.touched),
        )

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""


def has_ground(records: Iterable[TrafficRecord]) -> bool:
    """Return True if the policy that wrote some records counted buckets."""
    return any(record.novelty or record.scores or record.touched for record in records)
