"""What an application sees of its call: ``scope["state"]["querybudget"]``."""

from __future__ import annotations

from typing import Any

from querybudget.asgi.types import Scope
from querybudget.limiter import Admission, AdmissionView

__all__ = ["STATE_KEY", "set_view"]

STATE_KEY = "querybudget"


class RequestState(dict[str, Any]):
    """A request's copy of its server's state, which holds the view of its call.

    Servers may share one state between the requests of a connection, so the view must not go into
    it. What the application sets goes into both, so that a middleware outside still finds it.

    Args:
        shared: The server's state.
        view: The view of the request's call.
    """

    __slots__ = ("_shared",)

    def __init__(self, shared: dict[str, Any], view: AdmissionView) -> None:
        super().__init__(shared)
        super().__setitem__(STATE_KEY, view)
        self._shared = shared

    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)
        self._shared[key] = value

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._shared.pop(key, None)


def set_view(scope: Scope, admission: Admission) -> None:
    """Give the application a view of its call, in the scope's ``state``."""
    shared = scope.get("state")
    scope["state"] = RequestState({} if shared is None else shared, AdmissionView(admission))
