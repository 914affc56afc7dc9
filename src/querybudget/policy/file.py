"""The policy file as its writer sees it: one struct for each mapping, one field for each key.

A field whose default is `UNSET` has a key that is required. A field that may be `UNSET` is so where
its value is wrong: a mistake has then been noted, and the checks go on with what is there. A list
may be given as its only item. What else `querybudget.policy.decode` and `querybudget.policy.schema`
are to know of a field stands in its `Meta.extra`:

    parse     the notation of a scalar: from its text to the field's value
    expected  what is meant, for the message when something else is found
    schema    what JSON Schema says of a scalar with a notation
    short     the key that a scalar in place of this mapping stands for: `claim: sub` is {path: sub}
    number    that scalar is a number: `coding: 3` is {weight: 3}
    word      a scalar in place of this mapping is a key without value: `user` is {user: {}}
    words     so is each item of a list, with the value that is given here for it
    one       the mapping has exactly one key
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from querybudget.coverage.response import DEFAULT_STAGES
from querybudget.policy.fields import (
    Burst,
    Duration,
    Factor,
    Fee,
    Limit,
    Price,
    Share,
    Size,
    Text,
    between,
    doc,
)
from querybudget.policy.model import Disclosure, Mode, OnStoreError
from querybudget.text import in_units

__all__ = [
    "AddressFile",
    "BodyFile",
    "BudgetFile",
    "CallableFile",
    "CapabilityFile",
    "ClaimFile",
    "EmbeddingFile",
    "EstimateFile",
    "HeaderFile",
    "MatchFile",
    "Model2VecFile",
    "ModelFile",
    "NothingFile",
    "PolicyFile",
    "PriceFile",
    "RefusalsFile",
    "RemoteFile",
    "ResolverFile",
    "RouteFile",
    "StoreFile",
    "ThenFile",
    "TierFile",
    "WeightsFile",
    "WhenFile",
]


Words = tuple[str, ...]
Networks = Annotated[
    tuple[str, ...],
    doc("Networks in CIDR notation; `*` for every one, `unix` for a Unix socket's other end."),
]
Source = Literal["user", "api_key", "header", "claim", "client_address", "anonymous"]


class NothingFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class HeaderFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The value of a request header, believed only of proxies that are trusted to set it."""

    name: Annotated[str, doc("The header's name.")] | UnsetType = UNSET
    trusted_proxies: Networks = ()


class ClaimFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A claim of the authenticated user."""

    path: Annotated[str, doc("Keys from the top, as in `org.id`.")] | UnsetType = UNSET


class AddressFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The client's address, cut to a network."""

    ipv4_prefix: Annotated[int, between(0, 32), doc("Bits kept of an IPv4 address.")] = 32
    ipv6_prefix: Annotated[int, between(0, 128), doc("Bits kept of an IPv6 address.")] = 64
    trusted_proxies: Networks = ()


class ResolverFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One way of knowing a caller."""

    user: Annotated[NothingFile, doc("Whom authentication further out found.")] | None = None
    api_key: Annotated[NothingFile, doc("The bearer token or API key.")] | None = None
    header: (
        Annotated[HeaderFile, doc("A header's value."), Meta(extra={"short": "name"})] | None
    ) = None
    claim: Annotated[ClaimFile, doc("A claim's value."), Meta(extra={"short": "path"})] | None = (
        None
    )
    client_address: AddressFile | None = None


Resolver = Annotated[
    ResolverFile,
    Meta(extra={"word": True, "one": True, "expected": "a resolver such as `api_key`"}),
]


class WhenFile(Struct, frozen=True, forbid_unknown_fields=True):
    """When a tier applies: every part that is given must hold."""

    source: Annotated[tuple[Source, ...], doc("How the caller was known.")] = ()
    claim: Annotated[dict[str, tuple[Text, ...]], doc("Claim to the accepted values.")] = {}
    header: Annotated[dict[str, tuple[Text, ...]], doc("Header to the accepted values.")] = {}
    trusted_proxies: Networks = ()


class TierFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A class of callers whose limits are scaled."""

    when: WhenFile | UnsetType = UNSET
    scale: Annotated[dict[str, Factor], doc("Budget or unit to the factor on its limit.")] = {}


class ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs, in USD per million tokens."""

    input: Annotated[Price, doc("A prompt token.")] | UnsetType = UNSET
    output: Annotated[Price, doc("A generated token.")] | UnsetType = UNSET
    cached_input: (
        Annotated[Price, doc("A prompt token read from a cache; as `input` unless given.")] | None
    ) = None
    cache_write: (
        Annotated[Price, doc("A prompt token written to a cache; as `input` unless given.")] | None
    ) = None
    reasoning: Annotated[Price, doc("A reasoning token; as `output` unless given.")] | None = None
    request: Annotated[Fee, doc("USD for each request, besides its tokens.")] = 0


class MatchFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls: every part that is given must hold; patterns are globs, matched with case."""

    path: Annotated[Words, doc("Patterns over the path.")] = ()
    method: Annotated[Words, doc("HTTP methods, or WEBSOCKET.")] = ()
    model: Annotated[Words, doc("Patterns over the model asked for.")] = ()
    operation: Annotated[Words, doc("Patterns over what is asked, as in `chat`.")] = ()
    tier: Annotated[Words, doc("Names of tiers, or `default`.")] = ()
    stream: Annotated[bool, doc("Only streamed calls, or only others.")] | None = None
    capability: Annotated[Words, doc("Names of capabilities; any of them is enough.")] = ()


class WeightsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What each kind of token counts in a token budget; 1 unless given."""

    input: Annotated[Factor, doc("A prompt token.")] | None = None
    cached_input: (
        Annotated[Factor, doc("A prompt token read from a cache; as `input` unless given.")] | None
    ) = None
    cache_write: (
        Annotated[Factor, doc("A prompt token written to a cache; as `input` unless given.")] | None
    ) = None
    output: Annotated[Factor, doc("A generated token.")] | None = None
    reasoning: Annotated[Factor, doc("A reasoning token; as `output` unless given.")] | None = None
    logprobs: (
        Annotated[Factor, doc("Each alternative given with a token; 0.05 unless given.")] | None
    ) = None


class PriceFile(Struct, frozen=True, forbid_unknown_fields=True):
    """How much more a call costs, the more of a bucket budget is spent."""

    free: (
        Annotated[Share, doc("Share of it up to which nothing costs more; 0.5 unless given.")]
        | None
    ) = None
    cap: (
        Annotated[Factor, doc("The highest price, reached at the limit; 10 unless given.")] | None
    ) = None
    curve: (
        Annotated[
            Literal["exponential", "linear", "b4b", "none"],
            doc("How it rises; `exponential` unless given, `linear` where there is a slope."),
        ]
        | UnsetType
        | None
    ) = None
    slope: (
        Annotated[Factor, doc("With `curve: linear`: how much it rises to the limit.")] | None
    ) = None


class ThenFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What else is done as a bucket budget is spent, and from which share on."""

    slow: Annotated[Share, doc("Answers begin later.")] | None = None
    degrade: Annotated[Share, doc("Answers are short, single and without log-probabilities.")] | (
        None
    ) = None
    refuse: Annotated[Share, doc("Calls are refused as abnormal use.")] | None = None


Stages = Annotated[
    ThenFile,
    Meta(extra={"words": {stage.name.lower(): in_units(begin) for stage, begin in DEFAULT_STAGES}}),
]


class BudgetFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A named limit, what it is pooled over, which calls it is for and what it does."""

    name: (
        Annotated[str, doc("Its own: 1 to 64 of a-z, 0-9, _ and -, shown to callers.")] | UnsetType
    ) = UNSET
    limit: Annotated[Limit, doc("How much, of what, in how long.")] | UnsetType = UNSET
    window: (
        Annotated[
            Literal["sliding", "gcra", "calendar"],
            doc("How the window is kept; `sliding` unless given."),
        ]
        | UnsetType
        | None
    ) = None
    burst: (
        Annotated[Burst, doc("With `window: gcra`: how much at once, in the limit's unit.")] | None
    ) = None
    timezone: Annotated[str, doc("With `window: calendar`; UTC unless given.")] | None = None
    per: Annotated[Words, doc("What it is pooled over, together.")] = ("identity",)
    match: MatchFile = MatchFile()
    weights: WeightsFile | None = None
    price: (
        Annotated[
            PriceFile,
            doc("In buckets: how prices rise as it is spent; a curve, or `none`."),
            Meta(
                extra={
                    "short": "curve",
                    "expected": "a price such as `{free: 0.5, cap: 10}`, `b4b` or `none`",
                }
            ),
        ]
        | None
    ) = None
    then: Annotated[Stages, doc("In buckets: what else is done as it is spent.")] | None = None
    delay: Annotated[Duration, doc("The longest delay of `slow`; `5s` unless given.")] | None = None
    score: (
        Annotated[bool, doc("In buckets: whether the sweep score counts; it does unless given.")]
        | None
    ) = None
    mode: (
        Annotated[Mode, doc("The policy's mode unless given; `shadow` for limits in buckets.")]
        | None
    ) = None
    on_store_error: Annotated[OnStoreError, doc("What it answers while the store is down.")] = (
        OnStoreError.ALLOW
    )


class CapabilityFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that a model can do, known by prompts that ask for it."""

    examples: Annotated[Words, doc("Prompts; 1 to 64 of up to 2,000 characters.")] = ()
    weight: Annotated[Factor, doc("What one new bucket of such a prompt counts.")] = 1_000_000


class RemoteFile(Struct, frozen=True, forbid_unknown_fields=True):
    """An OpenAI-compatible embeddings endpoint."""

    url: Annotated[str, doc("As in `http://tei:8080/v1/embeddings`.")] | UnsetType = UNSET
    codebook: Annotated[str, doc("File of the codebook made for it.")] | UnsetType = UNSET
    model: Annotated[str, doc("The model's name there.")] = ""
    api_key: Annotated[str, doc("Sent as bearer token.")] | None = None
    timeout: Annotated[Duration, doc("After it an answer is late; `60s` at most.")] = 500_000
    dimensions: Annotated[int, between(1, 65_536), doc("Of a vector, to ask for.")] | None = None


class Model2VecFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A static embedding of the model2vec package."""

    path: Annotated[str, doc("Folder of the model.")] | UnsetType = UNSET
    codebook: Annotated[str, doc("File of the codebook made for it.")] | UnsetType = UNSET


class CallableFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A function of your own, from texts to vectors."""

    target: Annotated[str, doc("As in `package.module:function`.")] | UnsetType = UNSET
    codebook: Annotated[str, doc("File of the codebook made for it.")] | UnsetType = UNSET


class EmbeddingFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What turns prompts into vectors."""

    static: Annotated[NothingFile, doc("The one in the package.")] | None = None
    remote: RemoteFile | None = None
    model2vec: Model2VecFile | None = None
    callable: CallableFile | None = None


class RouteFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A model route of no known dialect, read by JSON pointers (RFC 6901)."""

    path: Annotated[str, doc("Pattern over the path.")] | UnsetType = UNSET
    operation: Annotated[str, doc("Its name in matches and reports.")] = "generic"
    model: Annotated[str, doc("Pointer to the model's name.")] = ""
    prompt: Annotated[Words, doc("Pointers to prompt text.")] = ()
    max_output: Annotated[str, doc("Pointer to the bound on output tokens.")] = ""
    stream: Annotated[str, doc("Pointer to the flag that asks for a stream.")] = ""
    choices: Annotated[str, doc("Pointer to the number of answers asked for.")] = ""
    input_usage: Annotated[str, doc("Pointer to the prompt tokens used.")] = ""
    output_usage: Annotated[str, doc("Pointer to the output tokens used.")] = ""
    text: Annotated[str, doc("Pointer to generated text.")] = ""


class EstimateFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What is held for a call before anything is known of it."""

    output_tokens: Annotated[int, between(0), doc("Where no bound and no history is known.")] = 512
    bytes_per_token: Annotated[Factor, doc("UTF-8 bytes of text to a token.")] = 4_000_000
    image_tokens: Annotated[int, between(0), doc("For each picture in the prompt.")] = 1_000


class RefusalsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """How refusals and budget headers look."""

    disclose: Annotated[Disclosure, doc("Which answers carry figures.")] = Disclosure.ALWAYS
    ietf: Annotated[
        Literal["off", "draft-11"], doc("`draft-11` adds `RateLimit` and `RateLimit-Policy`.")
    ] = "off"
    long_wait: Annotated[
        Duration, doc("Above this wait, clients are told not to retry by themselves.")
    ] = 60_000_000


class StoreFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Where accounts are kept."""

    url: Annotated[str, doc("As in `redis://localhost:6379/0`.")] | UnsetType = UNSET
    timeout: Annotated[Duration, doc("After it an answer is late.")] = 250_000
    workers: (
        Annotated[int, between(1, 4096), doc("Processes that share it; for `local`.")] | None
    ) = None
    prefix: Annotated[str, doc("What all names in a shared store begin with.")] = "querybudget"
    snapshot: Annotated[str, doc("File that a memory store is saved to and begins from.")] = ""
    snapshot_every: Annotated[Duration, doc("Between two savings.")] = 60_000_000


class BodyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """How request bodies are read."""

    limit: Annotated[Size, doc("The largest body of a model call, decompressed.")] = 16 << 20


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
        Literal[1], doc("Of this format."), Meta(extra={"expected": "version `1`"})
    ] = 1
    mode: Annotated[Mode, doc("`shadow` counts and reports, and refuses nobody.")] = Mode.ENFORCE
    store: Annotated[
        StoreFile,
        doc("Where accounts are kept: a URL such as `memory://`, or a mapping."),
        Meta(extra={"short": "url", "expected": "the URL of a store such as `memory://`"}),
    ] = StoreFile("memory://")
    secret: (
        Annotated[str, doc("Keys the hashes of identities: 16 bytes or more.")] | UnsetType | None
    ) = None
    identity: Annotated[tuple[Resolver, ...], doc("The first that knows the caller wins.")] = (
        IDENTITY
    )
    partitions: Annotated[dict[str, Resolver], doc("More ways of pooling callers, for `per`.")] = {}
    tiers: Annotated[dict[str, TierFile], doc("The first whose rule holds is taken.")] = {}
    models: Annotated[dict[str, ModelFile], doc("Patterns to prices; the first match.")] = {}
    unpriced: Annotated[
        Literal["refuse", "free"],
        doc("What a budget in usd does with a model that no price matches."),
    ] = "refuse"
    embedding: Annotated[
        EmbeddingFile,
        doc("What turns prompts into vectors."),
        Meta(extra={"word": True, "one": True, "expected": "an embedding such as `static`"}),
    ] = EmbeddingFile(static=NothingFile())
    capabilities: Annotated[
        dict[
            str,
            Annotated[
                CapabilityFile,
                Meta(extra={"short": "weight", "number": True, "expected": "a weight or examples"}),
            ],
        ],
        doc("Besides those that ship, or in their place; a name to a weight and examples."),
    ] = {}
    budgets: Annotated[tuple[BudgetFile, ...], doc("At least one.")] | UnsetType = UNSET
    routes: Annotated[tuple[RouteFile, ...], doc("Model routes of no known dialect.")] = ()
    exempt: Annotated[Words, doc("Patterns over paths that are passed through unseen.")] = EXEMPT
    hold: Annotated[Duration, doc("Unsettled reservations expire after it.")] = 900_000_000
    max_identities: Annotated[int, between(1), doc("Accounts in memory, or in a file.")] = 100_000
    health: Annotated[str, doc("Path at which to tell how the store is; none unless given.")] = ""
    estimate: EstimateFile = EstimateFile()
    refusals: RefusalsFile = RefusalsFile()
    body: BodyFile = BodyFile()
