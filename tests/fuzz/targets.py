"""Every target by its name, with texts to begin from."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.hostile.bodies import BODIES
from benchmarks.hostile.texts import UNITS, text
from tests.fuzz import answers, bodies, edge, operators, policies, state, texts

Target = Callable[[bytes], None]
"""Raises if a promise is broken."""

TESTS = Path(__file__).parent.parent

TARGETS: Mapping[str, Target] = {
    "style": texts.style,
    "words": texts.words,
    "kernel": texts.kernel,
    "samples": texts.samples,
    "capabilities": texts.capabilities,
    "secrets": texts.secrets,
    "limits": texts.limits,
    "pointers": texts.pointers,
    "requests": bodies.requests,
    "degrading": bodies.degrading,
    "servers": bodies.servers,
    "meters": answers.meters,
    "events": answers.events,
    "values": answers.values,
    "callers": edge.callers,
    "addresses": edge.addresses,
    "hosts": edge.hosts,
    "paths": edge.paths,
    "decoding": edge.decoding,
    "accepting": edge.accepting,
    "middleware": edge.middleware,
    "rows": state.rows,
    "accounts": state.accounts,
    "profiles": state.profiles,
    "policy files": policies.files,
    "budgets": policies.budgets,
    "policy mappings": policies.mappings,
    "policy tests": policies.tests,
    "overrides": operators.overrides,
    "logs": operators.logs,
    "forwarding": operators.forwarding,
}


def _texts() -> Iterable[bytes]:
    return [text(name, 90).encode("utf-8", "surrogatepass") for name in UNITS]


def _requests() -> list[bytes]:
    names = [name for name in BODIES if not name.startswith("64 ")]
    recorded = [
        file.read_bytes() for file in sorted((TESTS / "adapters/recordings").glob("*.json"))
    ]
    return [BODIES[name](300)[1] for name in names] + [body[:1500] for body in recorded]


def _answers() -> list[bytes]:
    found = sorted((TESTS / "adapters/recordings").glob("*.sse"))
    return [file.read_bytes()[:1500] for file in found]


def _policies() -> list[bytes]:
    return [file.read_bytes() for file in sorted((TESTS / "policy").rglob("*.y*ml"))]


def _addresses() -> list[bytes]:
    return [
        b'for="[2001:db8::1]:80";proto=https, for=10.0.0.1',
        b"203.0.113.9, 10.0.0.1,,  unknown",
        b"for=_hidden;by=x",
        b'"',
        b",",
        b"Bearer sk-one",
        b"Basic dTpw",
        b"::ffff:10.0.0.1",
        b"10.0.0.0/8",
    ]


def _paths() -> list[bytes]:
    return [b"/health/../v1/chat", b"/%2e%2e/", b"//a/./b", b"/a%2fb;x", b"\\..\\", b"/v1/"]


def _logs() -> list[bytes]:
    lines = [
        b'{"at":1767225600000000,"path":"/v1/chat/completions","model":"m","status":200}',
        b'{"startTime":"2026-01-02T03:04:05Z","model":"m","total_tokens":9,"api_key":"k"}',
        b'{"created_at":1767225600,"request":{"model":"m","messages":[]},"response":{}}',
        b'192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "POST /v1/embeddings HTTP/1.1" 200 5',
        b"INFO 01-02 03:04:05 [logger.py:42] Received request cmpl-1: prompt: 'hi', params: x",
        b"startTime,model,total_tokens\n2026-01-02T03:04:05,m,9",
    ]
    return [bytes([n % 7, n % 2]) + line for n, line in enumerate(lines)]


def _overrides() -> list[bytes]:
    texts = [
        b"overrides:\n  - {api_key: k, factor: 2, budget: a, until: 2026-01-01, reason: x}\n",
        b'[{"api_key":"k","block":true,"reason":"x"}]',
        b"api_key,factor,reason\nk,2,x\n",
    ]
    return [bytes([n]) + text for n, text in enumerate(texts)]


def _scenarios() -> list[bytes]:
    calls = [
        b'{"caller":"a","times":3,"every":"20s","expect":{"refused":1,"by":"rpm","wait":"20s"}}',
        b'{"at":"1 day","input":9,"output":2,"lasts":"5s","expect":{"charged":{"tokens":11}}}',
        b'{"spent":{"tokens":"90%"},"body":{"messages":[]},"answer":"[]","expect":{"status":200}}',
        b'{"fails":500,"headers":{"x":"y"},"method":"PUT","path":"/v1/embeddings","expect":"admitted"}',
        b'{"prompt":"a","model":"m","expect":{"priced":"some","over":2,"slowed":0}}',
    ]
    whole = b'[{"name":"a","mode":"shadow","start":"2026-01-31T23:00Z","callers":{"c":{"user":"u"}}'
    return [*(b"[%s]" % each for each in calls), whole + b',"calls":[%s]}]' % b",".join(calls)]


def _compressed() -> list[bytes]:
    plain = b'{"messages":[]}' * 20
    return [b"\0\5" + gzip.compress(plain) * 2, b"\1\5" + zlib.compress(plain), b"\1\5" + plain]


SEEDS: Mapping[str, Callable[[], Iterable[bytes]]] = {
    "requests": lambda: [bytes([n % 40, 0, 0]) + body for n, body in enumerate(_requests())],
    "degrading": lambda: [bytes([n % 40, 0, 0]) + body for n, body in enumerate(_requests())],
    "meters": lambda: [bytes([n % 40, n % 7, 9, 3]) + body for n, body in enumerate(_answers())],
    "events": lambda: [b"\1\1" + body[:300] for body in _answers()],
    "middleware": lambda: [b"\0\0\7Bearer k\0" + body + b"\0" + body for body in _requests()],
    "callers": _addresses,
    "addresses": lambda: [b"\0" + seed for seed in _addresses()],
    "hosts": _addresses,
    "overrides": _overrides,
    "logs": _logs,
    "forwarding": lambda: [b"x-forwarded-user:a\nX_Forwarded_For: b\n" + path for path in _paths()],
    "paths": lambda: [b"\0" + seed for seed in _paths()],
    "decoding": _compressed,
    "accepting": lambda: [b"gzip, br;q=0.5, zstd, *;q=0", b"identity", b"x-gzip;q=1.0, compress"],
    "servers": _requests,
    "values": lambda: [b"\1\1\1[" + body for body in _requests()],
    "policy files": _policies,
    "policy tests": _scenarios,
    "policy mappings": lambda: [b'{"version":1,"budgets":[{"name":"a","limit":"1 request/day"}]}'],
}


def seeds(name: str) -> list[bytes]:
    """Inputs to begin from."""
    return list(SEEDS.get(name, _texts)())
