"""Which web pages may read the middleware's own answers: the CORS part of a policy."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.fields import Words, doc, required

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@,A-Z*]+|null|\*")


class Cors(Struct, frozen=True):
    """Which web pages may read refusals (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

    origins: Annotated[
        Words, doc("Origins such as `https://app.example.com`, or `*` for all."), required()
    ] = ()
    credentials: Annotated[bool, doc("Whether pages may send cookies and client certificates.")] = (
        False
    )


CorsRule = Annotated[
    Cors,
    doc("Which web pages may read refusals: an origin such as `https://app.example.com`."),
    Meta(
        extra={
            "short": "origins",
            "several": True,
            "expected": "origins such as `https://app.example.com`",
        }
    ),
]


def check_cors(cors: Cors | None, path: Path, problems: Problems) -> None:
    """Check that origins are written as browsers send them."""
    if cors is None:
        return
    origins = (*path, "origins") if problems.mapping(path) else path
    for origin in cors.origins:
        if not _ORIGIN.fullmatch(origin):
            message = f"expected an origin such as `https://app.example.com`, found `{origin}`"
            problems.add(problems.item(origins, origin), message)
    if cors.credentials and "*" in cors.origins:
        message = "expected origins by name beside `credentials: true`, found `*`"
        problems.add(origins, message)
