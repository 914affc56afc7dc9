"""The policy file as its writer sees it: one struct for each mapping, one field for each key.

A field whose default is `UNSET` has a key that is required. A field that may be `UNSET` is so where
its value is wrong: a mistake has then been noted, and the checks go on with what is there. A list
may be given as its only item. What else `querybudget.policy.walk` and `querybudget.policy.schema`
are to know of a field stands in its `Meta.extra`:

    parse     the notation of a scalar: from its text to the field's value
    expected  what is meant, for the message when something else is found
    schema    what JSON Schema says of a scalar with a notation
    short     the key that a scalar in place of this mapping stands for: `claim: sub` is {path: sub}
    word      a scalar in place of this mapping is a key without value: `user` is {user: {}}
    one       the mapping has exactly one key
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from querybudget.policy import notation
from querybudget.policy.types import Disclosure, Mode, OnStoreError

__all__ = [
    "AddressFile",
    "BodyFile",
    "BudgetFile",
    "ClaimFile",
    "EstimateFile",
    "HeaderFile",
    "MatchFile",
    "ModelFile",
    "NothingFile",
    "PolicyFile",
    "RefusalsFile",
    "ResolverFile",
    "RouteFile",
    "TierFile",
    "WeightsFile",
    "WhenFile",
]


def _doc(text: str) -> Meta:
    return Meta(description=text)


def _notation(
    parse: Callable[[str], object], expected: str, kinds: str, *examples: object, pattern: str = ""
) -> Meta:
    schema: dict[str, object] = {"type": kinds.split(), "examples": list(examples)}
    if pattern:
        schema["pattern"] = pattern
    return Meta(extra={"parse": parse, "expected": expected, "schema": schema})


def _range(least: int, most: int | None = None) -> Meta:
    span = f"of at least {least}" if most is None else f"from {least} to {most}"
    return Meta(ge=least, le=most, extra={"expected": f"a whole number {span}"})


_MEASURE = r"^\s*[0-9._,]+\s*[A-Za-z]*\s*$|\$\{"

Limit = Annotated[
    notation.Limit,
    _notation(
        notation.limit,
        "a limit such as `60 requests/minute`",
        "string",
        "60 requests/minute",
        "2M tokens/day",
        "50 usd/month",
        "8 concurrent",
        pattern=r"^\s*(\$\s*)?[0-9._,]+[kKMB]?\s*[A-Za-z_ -]*"
        r"((/|[Pp][Ee][Rr])\s*[0-9]*\s*[A-Za-z]+\s*)?$|\$\{",
    ),
]
Burst = Annotated[
    tuple[int, str | None],
    _notation(notation.burst, "an amount such as `20`", "number string", 20, "100k tokens"),
]
Duration = Annotated[
    int,
    _notation(
        notation.duration, "a duration such as `30s`", "string", "15 minutes", pattern=_MEASURE
    ),
]
Size = Annotated[
    int,
    _notation(
        notation.size, "a size such as `16 MiB`", "integer string", "16 MiB", pattern=_MEASURE
    ),
]
Factor = Annotated[
    int, _notation(notation.factor, "a factor such as `0.25` or `10`", "number string", 0.25, 10)
]
Price = Annotated[
    int,
    _notation(
        notation.price_per_million,
        "a price in USD per million tokens such as `2.50`",
        "number string",
        2.5,
    ),
]
Fee = Annotated[
    int,
    _notation(notation.price_per_request, "a price in USD such as `0.01`", "number string", 0.01),
]
Text = Annotated[str, _notation(str, "text", "string number boolean")]
"""Text, or a number or truth value taken as it is written."""
Words = tuple[str, ...]
Networks = Annotated[
    tuple[str, ...],
    _doc("Networks in CIDR notation; `*` for every one, `unix` for a Unix socket's other end."),
]
Source = Literal["user", "api_key", "header", "claim", "client_address", "anonymous"]


class NothingFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class HeaderFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The value of a request header, believed only of proxies that are trusted to set it."""

    name: Annotated[str, _doc("The header's name.")] | UnsetType = UNSET
    trusted_proxies: Networks = ()


class ClaimFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A claim of the authenticated user."""

    path: Annotated[str, _doc("Keys from the top, as in `org.id`.")] | UnsetType = UNSET


class AddressFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The client's address, cut to a network."""

    ipv4_prefix: Annotated[int, _range(0, 32), _doc("Bits kept of an IPv4 address.")] = 32
    ipv6_prefix: Annotated[int, _range(0, 128), _doc("Bits kept of an IPv6 address.")] = 64
    trusted_proxies: Networks = ()


class ResolverFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One way of knowing a caller."""

    user: Annotated[NothingFile, _doc("Whom authentication further out found.")] | None = None
    api_key: Annotated[NothingFile, _doc("The bearer token or API key.")] | None = None
    header: (
        Annotated[HeaderFile, _doc("A header's value."), Meta(extra={"short": "name"})] | None
    ) = None
    claim: Annotated[ClaimFile, _doc("A claim's value."), Meta(extra={"short": "path"})] | None = (
        None
    )
    client_address: AddressFile | None = None


Resolver = Annotated[
    ResolverFile,
    Meta(extra={"word": True, "one": True, "expected": "a resolver such as `api_key`"}),
]


class WhenFile(Struct, frozen=True, forbid_unknown_fields=True):
    """When a tier applies: every part that is given must hold."""

    source: Annotated[tuple[Source, ...], _doc("How the caller was known.")] = ()
    claim: Annotated[dict[str, tuple[Text, ...]], _doc("Claim to the accepted values.")] = {}
    header: Annotated[dict[str, tuple[Text, ...]], _doc("Header to the accepted values.")] = {}
    trusted_proxies: Networks = ()


class TierFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A class of callers whose limits are scaled."""

    when: WhenFile | UnsetType = UNSET
    scale: Annotated[dict[str, Factor], _doc("Budget or unit to the factor on its limit.")] = {}


class ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs, in USD per million tokens."""

    input: Annotated[Price, _doc("A prompt token.")] | UnsetType = UNSET
    output: Annotated[Price, _doc("A generated token.")] | UnsetType = UNSET
    cached_input: (
        Annotated[Price, _doc("A prompt token read from a cache; as `input` unless given.")] | None
    ) = None
    cache_write: (
        Annotated[Price, _doc("A prompt token written to a cache; as `input` unless given.")] | None
    ) = None
    reasoning: Annotated[Price, _doc("A reasoning token; as `output` unless given.")] | None = None
    request: Annotated[Fee, _doc("USD for each request, besides its tokens.")] = 0


class MatchFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls: every part that is given must hold; patterns are globs, matched with case."""

    path: Annotated[Words, _doc("Patterns over the path.")] = ()
    method: Annotated[Words, _doc("HTTP methods, or WEBSOCKET.")] = ()
    model: Annotated[Words, _doc("Patterns over the model asked for.")] = ()
    operation: Annotated[Words, _doc("Patterns over what is asked, as in `chat`.")] = ()
    tier: Annotated[Words, _doc("Names of tiers, or `default`.")] = ()
    stream: Annotated[bool, _doc("Only streamed calls, or only others.")] | None = None


class WeightsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What each kind of token counts in a token budget; 1 unless given."""

    input: Annotated[Factor, _doc("A prompt token.")] | None = None
    cached_input: (
        Annotated[Factor, _doc("A prompt token read from a cache; as `input` unless given.")] | None
    ) = None
    cache_write: (
        Annotated[Factor, _doc("A prompt token written to a cache; as `input` unless given.")]
        | None
    ) = None
    output: Annotated[Factor, _doc("A generated token.")] | None = None
    reasoning: Annotated[Factor, _doc("A reasoning token; as `output` unless given.")] | None = None
    logprobs: (
        Annotated[Factor, _doc("Each alternative given with a token; 0.05 unless given.")] | None
    ) = None


class BudgetFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A named limit, what it is pooled over, which calls it is for and what it does."""

    name: (
        Annotated[str, _doc("Its own: 1 to 64 of a-z, 0-9, _ and -, shown to callers.")] | UnsetType
    ) = UNSET
    limit: Annotated[Limit, _doc("How much, of what, in how long.")] | UnsetType = UNSET
    window: (
        Annotated[
            Literal["sliding", "gcra", "calendar"],
            _doc("How the window is kept; `sliding` unless given."),
        ]
        | UnsetType
        | None
    ) = None
    burst: (
        Annotated[Burst, _doc("With `window: gcra`: how much at once, in the limit's unit.")] | None
    ) = None
    timezone: Annotated[str, _doc("With `window: calendar`; UTC unless given.")] | None = None
    per: Annotated[Words, _doc("What it is pooled over, together.")] = ("identity",)
    match: MatchFile = MatchFile()
    weights: WeightsFile | None = None
    mode: Annotated[Mode, _doc("The policy's mode unless given.")] | None = None
    on_store_error: Annotated[OnStoreError, _doc("What it answers while the store is down.")] = (
        OnStoreError.ALLOW
    )


class RouteFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A model route of no known dialect, read by JSON pointers (RFC 6901)."""

    path: Annotated[str, _doc("Pattern over the path.")] | UnsetType = UNSET
    operation: Annotated[str, _doc("Its name in matches and reports.")] = "generic"
    model: Annotated[str, _doc("Pointer to the model's name.")] = ""
    prompt: Annotated[Words, _doc("Pointers to prompt text.")] = ()
    max_output: Annotated[str, _doc("Pointer to the bound on output tokens.")] = ""
    stream: Annotated[str, _doc("Pointer to the flag that asks for a stream.")] = ""
    choices: Annotated[str, _doc("Pointer to the number of answers asked for.")] = ""
    input_usage: Annotated[str, _doc("Pointer to the prompt tokens used.")] = ""
    output_usage: Annotated[str, _doc("Pointer to the output tokens used.")] = ""
    text: Annotated[str, _doc("Pointer to generated text.")] = ""


class EstimateFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What is held for a call before anything is known of it."""

    output_tokens: Annotated[int, _range(0), _doc("Where no bound and no history is known.")] = 512
    bytes_per_token: Annotated[Factor, _doc("UTF-8 bytes of text to a token.")] = 4_000_000
    image_tokens: Annotated[int, _range(0), _doc("For each picture in the prompt.")] = 1_000


class RefusalsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """How refusals and budget headers look."""

    disclose: Annotated[Disclosure, _doc("Which answers carry figures.")] = Disclosure.ALWAYS
    ietf: Annotated[
        Literal["off", "draft-11"], _doc("`draft-11` adds `RateLimit` and `RateLimit-Policy`.")
    ] = "off"
    long_wait: Annotated[
        Duration, _doc("Above this wait, clients are told not to retry by themselves.")
    ] = 60_000_000


class BodyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """How request bodies are read."""

    limit: Annotated[Size, _doc("The largest body of a model call, decompressed.")] = 16 << 20


IDENTITY = (
    ResolverFile(user=NothingFile()),
    ResolverFile(api_key=NothingFile()),
    ResolverFile(client_address=AddressFile()),
)

EXEMPT = (
    "/health",
    "/health/*",
    "/health_generate",
    "/healthz",
    "/livez",
    "/readyz",
    "/ping",
    "/metrics",
    "/metrics/*",
)
"""What monitors ask of the usual model servers."""


class PolicyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Budgets for the callers of a model server."""

    version: Annotated[
        Literal[1], _doc("Of this format."), Meta(extra={"expected": "version `1`"})
    ] = 1
    mode: Annotated[Mode, _doc("`shadow` counts and reports, and refuses nobody.")] = Mode.ENFORCE
    store: Annotated[str, _doc("URL of the store, as in `memory://`.")] = "memory://"
    secret: (
        Annotated[str, _doc("Keys the hashes of identities: 16 bytes or more.")] | UnsetType | None
    ) = None
    identity: Annotated[tuple[Resolver, ...], _doc("The first that knows the caller wins.")] = (
        IDENTITY
    )
    partitions: Annotated[
        dict[str, Resolver], _doc("More ways of pooling callers, for `per`.")
    ] = {}
    tiers: Annotated[dict[str, TierFile], _doc("The first whose rule holds is taken.")] = {}
    models: Annotated[dict[str, ModelFile], _doc("Patterns to prices; the first match.")] = {}
    unpriced: Annotated[
        Literal["refuse", "free"],
        _doc("What a budget in usd does with a model that no price matches."),
    ] = "refuse"
    budgets: Annotated[tuple[BudgetFile, ...], _doc("At least one.")] | UnsetType = UNSET
    routes: Annotated[tuple[RouteFile, ...], _doc("Model routes of no known dialect.")] = ()
    exempt: Annotated[Words, _doc("Patterns over paths that are passed through unseen.")] = EXEMPT
    hold: Annotated[Duration, _doc("Unsettled reservations expire after it.")] = 900_000_000
    max_identities: Annotated[int, _range(1), _doc("Accounts the memory store keeps.")] = 100_000
    estimate: EstimateFile = EstimateFile()
    refusals: RefusalsFile = RefusalsFile()
    body: BodyFile = BodyFile()
