"""The policy file as its writer sees it: one struct for each mapping, one field for each key.

Where a field may be `UNSET`, its key is required: a value that is missing or wrong leaves it so,
a mistake has then been noted, and the checks go on with what is there. What `Meta.extra` may hold,
and `querybudget.policy.walk` obeys:

    parse     the notation of a scalar: its text to the field's value
    expected  what is meant, for the message when something else is found
    short     the key that a scalar in place of this mapping stands for: `claim: sub` is {path: sub}
    word      a scalar in place of this mapping is a key without value: `user` is {user: {}}
    one       the mapping has exactly one key

A list may be given as its only item.
"""

from __future__ import annotations

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
    "PolicyFile",
    "RefusalsFile",
    "Resolver",
    "ResolverFile",
    "RouteFile",
    "TierFile",
    "WeightsFile",
    "WhenFile",
]

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


Count = Annotated[int, Meta(ge=0, extra={"expected": "a whole number of at least 0"})]
Duration = Annotated[
    int,
    Meta(
        extra={"parse": notation.duration, "expected": "a duration such as `30s`"},
        examples=["30s", "15 minutes"],
    ),
]
Size = Annotated[
    int,
    Meta(
        extra={"parse": notation.size, "expected": "a size such as `16 MiB`"}, examples=["16 MiB"]
    ),
]
Factor = Annotated[
    int,
    Meta(
        extra={"parse": notation.factor, "expected": "a factor such as `0.25` or `10`"},
        examples=[0.25, 10],
    ),
]
Price = Annotated[
    int,
    Meta(
        extra={
            "parse": notation.price_per_million,
            "expected": "a price in USD per million tokens such as `2.50`",
        },
        examples=[2.50],
    ),
]
Limit = Annotated[
    notation.Limit,
    Meta(
        extra={"parse": notation.limit, "expected": "a limit such as `60 requests/minute`"},
        examples=["60 requests/minute", "2M tokens/day", "50 usd/month", "8 concurrent"],
    ),
]
Text = Annotated[str, Meta(extra={"parse": str, "expected": "text"})]
"""Text, or a number or truth value taken as it is written."""

Words = tuple[str, ...]
Networks = Annotated[
    tuple[str, ...],
    Meta(
        description="Networks in CIDR notation; `*` for every network.", examples=[["10.0.0.0/8"]]
    ),
]


class NothingFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class HeaderFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The value of a request header, believed only from trusted proxies."""

    name: Annotated[str, Meta(description="The header's name.")] | UnsetType = UNSET
    trusted_proxies: Networks = ()


class ClaimFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A claim of the authenticated user."""

    path: Annotated[str, Meta(description="Keys from the top, as in `org.id`.")] | UnsetType = UNSET


class AddressFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The client's address, cut to a network."""

    ipv4_prefix: Annotated[
        int, Meta(ge=0, le=32, extra={"expected": "a whole number from 0 to 32"})
    ] = 32
    ipv6_prefix: Annotated[
        int, Meta(ge=0, le=128, extra={"expected": "a whole number from 0 to 128"})
    ] = 64
    trusted_proxies: Networks = ()


class ResolverFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One way of knowing a caller."""

    user: NothingFile | None = None
    api_key: NothingFile | None = None
    header: Annotated[HeaderFile, Meta(extra={"short": "name"})] | None = None
    claim: Annotated[ClaimFile, Meta(extra={"short": "path"})] | None = None
    client_address: AddressFile | None = None


Resolver = Annotated[
    ResolverFile,
    Meta(extra={"word": True, "one": True, "expected": "a resolver such as `api_key`"}),
]

IDENTITY = (
    ResolverFile(user=NothingFile()),
    ResolverFile(api_key=NothingFile()),
    ResolverFile(client_address=AddressFile()),
)


class WhenFile(Struct, frozen=True, forbid_unknown_fields=True):
    """When a tier applies: every part that is given must hold."""

    source: Annotated[
        tuple[Literal["user", "api_key", "header", "claim", "client_address", "anonymous"], ...],
        Meta(description="How the caller was known."),
    ] = ()
    claim: Annotated[
        dict[str, tuple[Text, ...]], Meta(description="Claim path to the accepted values.")
    ] = {}
    header: Annotated[
        dict[str, tuple[Text, ...]], Meta(description="Header name to the accepted values.")
    ] = {}
    trusted_proxies: Networks = ()


class TierFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A class of callers whose limits are scaled."""

    when: WhenFile | UnsetType = UNSET
    scale: Annotated[
        dict[str, Factor], Meta(description="Budget name or unit to the factor on its limit.")
    ] = {}


class ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs, in USD per million tokens."""

    input: Price | UnsetType = UNSET
    output: Price | UnsetType = UNSET
    cached_input: (
        Annotated[Price, Meta(description="The price of `input` unless given.")] | None
    ) = None
    cache_write: Annotated[Price, Meta(description="The price of `input` unless given.")] | None = (
        None
    )
    reasoning: Annotated[Price, Meta(description="The price of `output` unless given.")] | None = (
        None
    )
    request: Annotated[
        int,
        Meta(
            description="USD for each request, besides its tokens.",
            extra={
                "parse": notation.price_per_request,
                "expected": "a price in USD such as `0.01`",
            },
            examples=[0.01],
        ),
    ] = 0


class MatchFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls: every part that is given must hold; patterns are globs."""

    path: Annotated[Words, Meta(description="Patterns over the path.")] = ()
    method: Annotated[Words, Meta(description="HTTP methods, or WEBSOCKET.")] = ()
    model: Annotated[Words, Meta(description="Patterns over the model asked for.")] = ()
    operation: Annotated[Words, Meta(description="Patterns over what is asked.")] = ()
    tier: Annotated[Words, Meta(description="Names of tiers, or `default`.")] = ()
    stream: Annotated[bool, Meta(description="Only streamed calls, or only others.")] | None = None


class WeightsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What each kind of token counts in a token budget."""

    input: Factor | None = None
    cached_input: (
        Annotated[Factor, Meta(description="The weight of `input` unless given.")] | None
    ) = None
    cache_write: (
        Annotated[Factor, Meta(description="The weight of `input` unless given.")] | None
    ) = None
    output: Factor | None = None
    reasoning: (
        Annotated[Factor, Meta(description="The weight of `output` unless given.")] | None
    ) = None
    logprobs: Annotated[Factor, Meta(description="Each alternative given with a token.")] | None = (
        None
    )


class BudgetFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A named limit, what it is pooled over, which calls it is for and what it does."""

    name: Annotated[str, Meta(description="Unlike every other budget's.")] | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    window: (
        Annotated[
            Literal["sliding", "gcra", "calendar"],
            Meta(description="How the window is kept; `sliding` unless given."),
        ]
        | None
    ) = None
    burst: (
        Annotated[
            tuple[int, str | None],
            Meta(
                description="For `window: gcra`: how much at once, in the limit's unit.",
                extra={"parse": notation.burst, "expected": "an amount such as `20`"},
                examples=[20],
            ),
        ]
        | None
    ) = None
    timezone: (
        Annotated[
            str, Meta(description="For `window: calendar`.", examples=["UTC", "Europe/Berlin"])
        ]
        | None
    ) = None
    per: Annotated[Words, Meta(description="What it is pooled over, together.")] = ("identity",)
    match: MatchFile = MatchFile()
    weights: WeightsFile | None = None
    mode: Annotated[Mode, Meta(description="The policy's mode unless given.")] | None = None
    on_store_error: OnStoreError = OnStoreError.ALLOW


class RouteFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A model route of no known dialect, read by JSON pointers (RFC 6901)."""

    path: Annotated[str, Meta(description="Pattern over the path.")] | UnsetType = UNSET
    operation: str = "generic"
    model: str = ""
    prompt: Words = ()
    max_output: str = ""
    stream: str = ""
    choices: str = ""
    input_usage: str = ""
    output_usage: str = ""
    text: str = ""


class EstimateFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What is held for a call before anything is known of it."""

    output_tokens: Count = 512
    bytes_per_token: Factor = 4_000_000
    image_tokens: Count = 1_000


class RefusalsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """How refusals and budget headers look."""

    disclose: Annotated[Disclosure, Meta(description="Which answers carry budget figures.")] = (
        Disclosure.ALWAYS
    )
    ietf: Annotated[
        Literal["off", "draft-11"],
        Meta(description="`draft-11` adds `RateLimit` and `RateLimit-Policy`."),
    ] = "off"
    long_wait: Annotated[
        Duration,
        Meta(description="From this wait on, clients are told not to retry by themselves."),
    ] = 60_000_000


class BodyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """How request bodies are read."""

    limit: Annotated[Size, Meta(description="The largest body of a model call.")] = 16 << 20


class PolicyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Budgets for the callers of a model server."""

    budgets: tuple[BudgetFile, ...] | UnsetType = UNSET
    version: Annotated[Literal[1], Meta(extra={"expected": "version `1`"})] = 1
    mode: Annotated[Mode, Meta(description="`shadow` counts and reports, and refuses nobody.")] = (
        Mode.ENFORCE
    )
    store: Annotated[
        str,
        Meta(description="URL of the store.", examples=["memory://", "redis://localhost:6379/0"]),
    ] = "memory://"
    secret: (
        Annotated[str, Meta(description="Keys the hashes of identities: 16 bytes or more.")] | None
    ) = None
    identity: Annotated[
        tuple[Resolver, ...], Meta(description="The first that knows the caller wins.")
    ] = IDENTITY
    partitions: Annotated[
        dict[str, Resolver], Meta(description="Further ways of pooling callers, for `per`.")
    ] = {}
    tiers: Annotated[
        dict[str, TierFile], Meta(description="The first tier whose rule holds is taken.")
    ] = {}
    models: Annotated[
        dict[str, ModelFile], Meta(description="Pattern over model names to prices; first match.")
    ] = {}
    unpriced: Annotated[
        Literal["refuse", "free"],
        Meta(description="What a usd budget does with a model that no price matches."),
    ] = "refuse"
    routes: tuple[RouteFile, ...] = ()
    exempt: Annotated[
        Words, Meta(description="Patterns over paths that are passed through unseen.")
    ] = EXEMPT
    hold: Annotated[
        Duration, Meta(description="After this long an unsettled reservation expires.")
    ] = 900_000_000
    max_identities: Annotated[
        int,
        Meta(
            ge=1,
            description="Accounts kept by the memory store.",
            extra={"expected": "a whole number of at least 1"},
        ),
    ] = 100_000
    estimate: EstimateFile = EstimateFile()
    refusals: RefusalsFile = RefusalsFile()
    body: BodyFile = BodyFile()
