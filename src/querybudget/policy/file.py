"""The policy file as its author sees it: one struct for each mapping, one field for each key.

Where file and policy agree, the struct is one of `querybudget.policy.model`. A field whose default
is `UNSET` has a required key. A field that may be `UNSET` is so where its value is wrong: the
problem has been noted then, and the checks go on with the rest. A list of one item may be written
as that item. `querybudget.policy.fields` says what `Meta.extra` holds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from querybudget import notation
from querybudget.policy.adaptive import Adaptive
from querybudget.policy.carriers import CarrierItem
from querybudget.policy.exports import Exports, ExportsItem
from querybudget.policy.fields import (
    Duration,
    Factor,
    Networks,
    Share,
    Words,
    between,
    doc,
    written,
)
from querybudget.policy.linking import Linking
from querybudget.policy.match import Match
from querybudget.policy.model import (
    Body,
    EstimateSettings,
    Missing,
    Mode,
    OnStoreError,
    Refusals,
    Streams,
)
from querybudget.policy.outputs import TrafficLogItem, WebhooksItem
from querybudget.policy.override_words import OverrideFile
from querybudget.policy.prices import ModelPrice, TokenWeights
from querybudget.policy.routes import GenericRoute, Server, Unknown
from querybudget.policy.scenario_file import ScenarioFile
from querybudget.policy.stage_words import Stages
from querybudget.policy.suspect_words import SuspectsFile
from querybudget.policy.tier_words import TierFile
from querybudget.units import Unit

Limit = Annotated[
    notation.Limit,
    written(
        "limit",
        "a limit such as `60 requests/minute`",
        "string",
        "60 requests/minute",
        "2M tokens/day",
        "50 usd/month",
        "8 concurrent",
        "1000 buckets/30 days",
        pattern=r"^\s*(\$\s*)?[0-9._,]+[kKMB]?\s*[A-Za-z_ -]*"
        r"((/|[Pp][Ee][Rr])\s*[0-9]*\s*[A-Za-z]+\s*)?$|\$\{",
    ),
]
Burst = Annotated[
    tuple[int, Unit | None],
    written("burst", "an amount such as `20`", "number string", 20, "100k tokens"),
]
_SCORING = r"^(true|false|only)$|\$\{"


class NothingFile(Struct, frozen=True):
    """Nothing to set."""


class ApiKeyFile(Struct, frozen=True, rename={"carriers": "from"}):
    """The key of a request, and where the server takes it from."""

    carriers: Annotated[
        tuple[CarrierItem, ...],
        doc("Where the server takes keys from, in its order; nothing else is believed."),
    ] = ()
    differing: (
        Annotated[
            Literal["first", "contradict"],
            doc("Which of two keys counts: the first (the default with `from`), or none."),
        ]
        | None
    ) = None


class HeaderFile(Struct, frozen=True):
    """The value of a request header, believed only if a trusted proxy set it."""

    name: Annotated[str, doc("The header's name.")] | UnsetType = UNSET
    trusted_proxies: Networks = ()


class ClaimFile(Struct, frozen=True):
    """A claim of the authenticated user."""

    path: Annotated[str, doc("Keys from the top, for example `org.id`.")] | UnsetType = UNSET


class AddressFile(Struct, frozen=True):
    """The client's address, cut to a network."""

    ipv4_prefix: Annotated[int, between(0, 32), doc("Bits kept of an IPv4 address.")] = 32
    ipv6_prefix: Annotated[int, between(0, 128), doc("Bits kept of an IPv6 address.")] = 64
    trusted_proxies: Networks = ()


class ResolverFile(Struct, frozen=True):
    """One way to identify a caller."""

    user: Annotated[NothingFile, doc("The user that authentication found.")] | None = None
    api_key: Annotated[ApiKeyFile, doc("The bearer token or API key.")] | None = None
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


class PartitionFile(ResolverFile, frozen=True):
    """One way to pool callers."""

    missing: Annotated[Missing, doc("What becomes of callers that it does not name.")] = (
        Missing.APART
    )


PartitionItem = Annotated[
    PartitionFile,
    Meta(
        extra={
            "word": True,
            "one": True,
            "beside": ("missing",),
            "expected": "a resolver such as `{claim: org.id}`",
        }
    ),
]


class PriceFile(Struct, frozen=True):
    """How much more a call costs, the more of a bucket budget is spent."""

    free: (
        Annotated[Share, doc("Share up to which calls cost the same; defaults to 0.5.")] | None
    ) = None
    cap: (
        Annotated[Factor, doc("The highest price, reached at the limit; defaults to 10.")] | None
    ) = None
    curve: (
        Annotated[
            Literal["exponential", "linear", "b4b", "none"],
            doc("How it rises; defaults to `exponential`, or `linear` if there is a slope."),
        ]
        | UnsetType
        | None
    ) = None
    slope: (
        Annotated[Factor, doc("With `curve: linear`: how much it rises to the limit.")] | None
    ) = None


class BudgetFile(Struct, frozen=True):
    """A named limit, what it is pooled over, which calls it is for and what it does."""

    name: (
        Annotated[str, doc("Unique: 1 to 64 of a-z, 0-9, _ and -, shown to callers.")] | UnsetType
    ) = UNSET
    limit: Annotated[Limit, doc("How much, of what, in how long.")] | UnsetType = UNSET
    window: (
        Annotated[
            Literal["sliding", "gcra", "calendar"],
            doc("How the window is kept; defaults to `sliding`."),
        ]
        | UnsetType
        | None
    ) = None
    burst: (
        Annotated[Burst, doc("With `window: gcra`: how much at once, in the limit's unit.")] | None
    ) = None
    timezone: Annotated[str, doc("With `window: calendar`; defaults to UTC.")] | None = None
    per: Annotated[Words, doc("Partitions: calls alike in all of them share an account.")] = (
        "identity",
    )
    match: Match = Match()
    weights: TokenWeights | None = None
    price: (
        Annotated[
            PriceFile,
            doc("In buckets: how the price rises; a curve, or `none`."),
            Meta(
                extra={
                    "short": "curve",
                    "expected": "a price such as `{free: 0.5, cap: 10}`, `b4b` or `none`",
                }
            ),
        ]
        | None
    ) = None
    then: Annotated[Stages, doc("In buckets: what else happens as it is spent.")] | None = None
    delay: Annotated[Duration, doc("The longest delay of `slow`; defaults to `5s`.")] | None = None
    score: (
        Annotated[
            str,
            written("scoring", "`true`, `false` or `only`", "boolean string", pattern=_SCORING),
            doc("In buckets: whether the sweep score counts, or alone; defaults to true."),
        ]
        | None
    ) = None
    suspects: (
        Annotated[SuspectsFile, doc("In buckets: only callers of a pool who stand out spend it.")]
        | None
    ) = None
    mode: (
        Annotated[Mode, doc("Defaults to the policy's mode, or `shadow` for limits in buckets.")]
        | None
    ) = None
    on_store_error: Annotated[OnStoreError, doc("What happens while the store is down.")] = (
        OnStoreError.ALLOW
    )


class CapabilityFile(Struct, frozen=True):
    """Something that a model can do, recognised by example prompts."""

    examples: Annotated[Words, doc("Prompts; 1 to 64 of up to 2,000 characters.")] = ()
    weight: Annotated[Factor, doc("What one new bucket of such a prompt counts.")] = 1_000_000


class RemoteFile(Struct, frozen=True):
    """An OpenAI-compatible embeddings endpoint."""

    url: Annotated[str, doc("For example `http://tei:8080/v1/embeddings`.")] | UnsetType = UNSET
    codebook: Annotated[str, doc("File of the codebook made for it.")] | UnsetType = UNSET
    model: Annotated[str, doc("The model's name there.")] = ""
    api_key: Annotated[str, doc("Sent as a bearer token.")] | None = None
    timeout: Annotated[Duration, doc("How long to wait for an answer; at most `60s`.")] = 500_000
    dimensions: Annotated[int, between(1, 65_536), doc("Length of vectors to ask for.")] | None = (
        None
    )


class Model2VecFile(Struct, frozen=True):
    """A static embedding of the model2vec package."""

    path: Annotated[str, doc("Folder of the model.")] | UnsetType = UNSET
    codebook: Annotated[str, doc("File of the codebook made for it.")] | UnsetType = UNSET


class CallableFile(Struct, frozen=True):
    """A function of your own, from texts to vectors."""

    target: Annotated[str, doc("For example `package.module:function`.")] | UnsetType = UNSET
    codebook: Annotated[str, doc("File of the codebook made for it.")] | UnsetType = UNSET


class EmbeddingFile(Struct, frozen=True):
    """What turns prompts into vectors."""

    static: Annotated[NothingFile, doc("The embedding in the package.")] | None = None
    remote: RemoteFile | None = None
    model2vec: Model2VecFile | None = None
    callable: CallableFile | None = None


class StoreFile(Struct, frozen=True):
    """Which store keeps the accounts, and how it is used."""

    url: Annotated[str, doc("For example `redis://localhost:6379/0`.")] | UnsetType = UNSET
    timeout: Annotated[Duration, doc("How long to wait for an answer.")] = 250_000
    workers: (
        Annotated[int, between(1, 4096), doc("Processes that share the store; for `local`.")] | None
    ) = None
    prefix: Annotated[str, doc("Prefix of all names in a shared store.")] = "querybudget"


IDENTITY = (
    ResolverFile(user=NothingFile()),
    ResolverFile(api_key=ApiKeyFile()),
    ResolverFile(client_address=AddressFile()),
)


class PolicyFile(Struct, frozen=True):
    """Budgets for the callers of a model server."""

    version: Annotated[
        Literal[1], doc("Of this format."), Meta(extra={"expected": "version `1`"})
    ] = 1
    mode: Annotated[Mode, doc("`shadow` counts and reports, and refuses nothing.")] = Mode.ENFORCE
    store: Annotated[
        StoreFile,
        doc("Where accounts are kept: a URL such as `memory://`, or a mapping."),
        Meta(extra={"short": "url", "expected": "the URL of a store such as `memory://`"}),
    ] = StoreFile("memory://")
    secret: (
        Annotated[str, doc("Keys the hashes of identities: at least 16 bytes.")] | UnsetType | None
    ) = None
    identity: Annotated[
        tuple[Resolver, ...], doc("Resolvers; the first that returns a name wins.")
    ] = IDENTITY
    partitions: Annotated[
        dict[str, PartitionItem], doc("More ways to pool callers, for `per`.")
    ] = {}
    tiers: Annotated[dict[str, TierFile], doc("The first whose rule holds applies.")] = {}
    overrides: Annotated[
        tuple[OverrideFile, ...], doc("What changes for single callers and pools.")
    ] = ()
    models: Annotated[dict[str, ModelPrice], doc("Patterns to prices; the first match wins.")] = {}
    unpriced: Annotated[
        Literal["refuse", "free"],
        doc("What a budget in usd does with a model that no price matches."),
    ] = "refuse"
    embedding: Annotated[
        EmbeddingFile,
        doc("What turns prompts into vectors."),
        Meta(extra={"word": True, "one": True, "expected": "an embedding such as `static`"}),
    ] = EmbeddingFile(static=NothingFile())
    adaptive: (
        Annotated[Adaptive, doc("Sets the threshold of the sweep score by your own callers.")]
        | None
    ) = None
    linking: (
        Annotated[Linking, doc("Links accounts that belong together, for `per: group`.")] | None
    ) = None
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
    budgets: Annotated[tuple[BudgetFile, ...], doc("The budgets, at least one.")] | UnsetType = (
        UNSET
    )
    routes: Annotated[tuple[GenericRoute, ...], doc("Model routes of your own.")] = ()
    server: Annotated[
        tuple[Server, ...],
        doc("What answers: brings its routes, its places of keys, and what monitors ask."),
    ] = ()
    unknown: Annotated[
        Unknown, doc("What becomes of a request with a body on a path that nothing reads.")
    ] = Unknown.COUNT
    exempt: (
        Annotated[
            Words,
            doc("Patterns over paths that are passed through unread; defaults to the server's."),
        ]
        | None
    ) = None
    hold: Annotated[Duration, doc("What a process that died had reserved expires after this.")] = (
        900_000_000
    )
    max_identities: Annotated[int, between(1), doc("Accounts in memory, or in a file.")] = 100_000
    health: Annotated[str, doc("Path that reports the health of the store.")] = ""
    traffic_log: TrafficLogItem | None = None
    webhooks: WebhooksItem | None = None
    metrics: ExportsItem = Exports()
    watch: Annotated[
        bool, doc("Whether a running server loads the policy again when its file changes.")
    ] = True
    estimate: EstimateSettings = EstimateSettings()
    refusals: Refusals = Refusals()
    body: Body = Body()
    streams: Streams = Streams()
    tests: Annotated[
        tuple[ScenarioFile, ...], doc("Calls and what becomes of them, for `querybudget test`.")
    ] = ()
