"""What is known of a request from its method and path alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from querybudget.adapters.base import Adapter
from querybudget.policy.routes import Unknown

if TYPE_CHECKING:
    from querybudget.limiter.rules import Rules


class Route(msgspec.Struct, frozen=True, eq=False):
    """What is known from method and path alone.

    Attributes:
        adapter: Reads the body; None where the path is not a model endpoint.
        budgets: Places of the policy's budgets that may match, as bits.
        messages: For WebSockets, the route of each message: without leases, which the connection
            holds.
        capabilities: Bits of the capabilities that any of the budgets is matched on.
        opaque: Bits of the kinds of opaque content that any of them is matched on.
        examined: Whether any of them asks what a call contains.
        before_body: The route that decides a request while its body is still arriving: only
            enforced budgets that charge every request alike. None if there are none.
        unknown: What becomes of a request with a body that no adapter reads; None of any other.
        rules: By which it was found, and its calls are decided.
    """

    adapter: Adapter | None
    budgets: int
    messages: Route | None = None
    capabilities: int = 0
    opaque: int = 0
    examined: bool = False
    unknown: Unknown | None = None
    before_body: Route | None = None
    rules: Rules | None = None
