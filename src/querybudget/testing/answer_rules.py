"""The order that the ASGI specification asks of an answer's messages."""

from __future__ import annotations

from querybudget.asgi.types import Message


class AnswerRules:
    """Checks the order of an HTTP answer's messages against the ASGI specification."""

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults
        self._started = False
        self._complete = False
        self._declared: int | None = None
        self._size = 0

    def see(self, message: Message) -> None:
        """Check a message that reached the client."""
        match message["type"]:
            case "http.response.start":
                self._start(message)
            case "http.response.body":
                self._body(message)
            case _:  # Extensions have their own rules.
                self._complete = self._complete or ends(message)

    def finish(self, *, complete: bool) -> None:
        """Check the whole answer, once the application has returned."""
        if complete and not self._complete:
            self._faults.append("it returned before its answer was complete")

    def _start(self, message: Message) -> None:
        if self._started:
            self._faults.append("http.response.start was sent twice")
        self._started = True
        for name, value in message.get("headers", ()):
            if type(name) is not bytes or type(value) is not bytes:
                self._faults.append(f"header {name!r}: {value!r} is not bytes")
            elif name.lower() == b"content-length":
                self._declared = int(value)

    def _body(self, message: Message) -> None:
        if not self._started:
            self._faults.append("http.response.body was sent before http.response.start")
        if self._complete:
            self._faults.append("http.response.body was sent after the last one")
        self._size += len(message.get("body", b""))
        if not message.get("more_body"):
            self._complete = True
            if self._declared not in {None, self._size}:
                self._faults.append(f"{self._declared} bytes declared, {self._size} sent")


def ends(message: Message) -> bool:
    """Return True if a message is the last of an answer, or of a start."""
    match message["type"]:
        case "http.response.body" | "websocket.http.response.body" | "http.response.trailers":
            key = "more_trailers" if message["type"].endswith("trailers") else "more_body"
            return not message.get(key)
        case "http.response.pathsend" | "websocket.close":
            return True
        case kind:
            return str(kind).startswith("lifespan.startup.")
