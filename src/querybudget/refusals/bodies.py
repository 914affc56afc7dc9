"""Bodies in the caller's dialect.

The body for the clients of OpenAI, Gemini and Ollama is also a problem document (RFC 9457): they
read ``error`` and ignore the other members and the media type, and other clients find the standard
members. Anthropic's body has a top-level ``type`` of its own, so it cannot be both. JSON-RPC's has
the problem document as ``error.data``.
"""

from __future__ import annotations

import enum
from http import HTTPStatus

import msgspec

from querybudget.adapters.base import Dialect

PROBLEM_TYPES = "https://iana.org/assignments/http-problem-types#"
"""IANA's registry of problem types."""


_GEMINI = {
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""HTTP status to Gemini's ``status`` (google.rpc.Code); ``INVALID_ARGUMENT`` for any other."""


_SERVER_ERROR = -32000
"""JSON-RPC's first code for errors that a server defines (JSON-RPC 2.0, section 5.1)."""


class ProblemType(enum.StrEnum):
    """Why a call is refused: its type in the IANA registry of problem types (RFC 9457)."""

    QUOTA = "quota-exceeded"
    REDUCED_CAPACITY = "temporary-reduced-capacity"
    ABNORMAL_USAGE = "abnormal-usage-detected"


class Answer(msgspec.Struct, frozen=True):
    """A whole HTTP answer. Its headers, names in lower case, have the body's type and length."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Fault(msgspec.Struct, frozen=True):
    """An error, with the members of every dialect.

    Attributes:
        status: HTTP status.
        problem: Fragment in the registry of problem types; empty for ``about:blank``.
        title: The problem type's title.
        message: This error, for a person.
        kind: OpenAI's ``type``.
        code: OpenAI's ``code``.
        anthropic: Anthropic's ``type``.
        policies: Names of the violated budgets.
    """

    status: int
    problem: str
    title: str
    message: str
    kind: str
    code: str
    anthropic: str
    policies: tuple[str, ...] = ()


def reply(
    fault: Fault, dialect: Dialect, headers: list[tuple[bytes, bytes]], request_id: str
) -> Answer:
    """Write an error in a dialect, with these headers and, unless it is empty, the request's id."""
    media = b"application/problem+json"
    if dialect is Dialect.ANTHROPIC:
        media = b"application/json"
        body = msgspec.json.encode(_anthropic(fault, request_id))
    elif dialect is Dialect.JSON_RPC:
        media = b"application/json"
        body = msgspec.json.encode(_json_rpc(fault))
    else:
        body = msgspec.json.encode(_problem(fault) | _error(fault, dialect))
    length = b"%d" % len(body)
    all_headers = [(b"content-type", media), (b"content-length", length), *headers]
    if request_id:
        name = request_id_header(dialect)
        all_headers.append((name, request_id.encode("latin-1", "replace")))
    return Answer(fault.status, all_headers, body)


def request_id_header(dialect: Dialect) -> bytes:
    """Return the header in which a dialect's clients look for the id of their request."""
    return b"request-id" if dialect is Dialect.ANTHROPIC else b"x-request-id"


def _anthropic(fault: Fault, request_id: str) -> dict[str, object]:
    return {
        "type": "error",
        "error": {"type": fault.anthropic, "message": fault.message},
        "request_id": request_id or None,
    }


def for_message(answer: Answer, message_id: int | str | None) -> Answer:
    """Return a refusal of JSON-RPC with the id of the message that it answers.

    Without an id it says null, as JSON-RPC has it for an error of a notification, or of several
    messages at once.
    """
    if message_id is None:
        return answer
    body = msgspec.json.encode({**msgspec.json.decode(answer.body), "id": message_id})
    headers = [
        (name, b"%d" % len(body) if name == b"content-length" else value)
        for name, value in answer.headers
    ]
    return Answer(answer.status, headers, body)


def _json_rpc(fault: Fault) -> dict[str, object]:
    error = {"code": _SERVER_ERROR, "message": fault.message, "data": _problem(fault)}
    return {"jsonrpc": "2.0", "id": None, "error": error}


def _problem(fault: Fault) -> dict[str, object]:
    body: dict[str, object] = {
        "type": f"{PROBLEM_TYPES}{fault.problem}" if fault.problem else "about:blank",
        "title": fault.title if fault.problem else HTTPStatus(fault.status).phrase,
        "status": fault.status,
        "detail": fault.message,
    }
    if fault.policies:
        body["violated-policies"] = fault.policies
    return body


def _error(fault: Fault, dialect: Dialect) -> dict[str, object]:
    """Return the member that a dialect's clients read besides; none for a plain problem."""
    match dialect:
        case Dialect.OPENAI:
            members = {"message": fault.message, "type": fault.kind}
            return {"error": {**members, "param": None, "code": fault.code}}
        case Dialect.GEMINI:
            status = _GEMINI.get(fault.status, "INVALID_ARGUMENT")
            members = {"message": fault.message, "status": status}
            return {"error": {"code": fault.status, **members}}
        case Dialect.OLLAMA:
            return {"error": fault.message}
        case _:
            return {}
