"""A policy, loaded and ready: frozen, complete, every name resolved, every amount an integer.

`querybudget.policy.load_policy` makes one from YAML or a mapping. Nothing here reads a file or a
clock.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from querybudget.backends import StoreSettings
from querybudget.coverage.response import BucketResponse
from querybudget.policy.adaptive import Adaptive
from querybudget.policy.carriers import Carrier
from querybudget.policy.cors import CorsRule
from querybudget.policy.exports import Exports
from querybudget.policy.fields import Duration, Factor, Size, between, doc
from querybudget.policy.linking import Linking
from querybudget.policy.match import OPERATIONS, Match
from querybudget.policy.mode import Mode
from querybudget.policy.naming import NamedOverride, OverrideSource
from querybudget.policy.outputs import TrafficLogSettings, WebhookSettings
from querybudget.policy.prices import ModelPrice, TokenWeights
from querybudget.policy.routes import GenericRoute, Server, Unknown
from querybudget.policy.scenario import Scenario
from querybudget.policy.tier import Tier, TierRule
from querybudget.units import MICRO, SECOND, Quota, Unit

if TYPE_CHECKING:
    from os import PathLike

__all__ = [
    "CAPABILITIES",
    "OPERATIONS",
    "Adaptive",
    "Body",
    "Budget",
    "Capability",
    "Disclosure",
    "Embedding",
    "EstimateSettings",
    "GenericRoute",
    "Linking",
    "Match",
    "Missing",
    "Mode",
    "OnStoreError",
    "Partition",
    "Policy",
    "Refusals",
    "ResolverSpec",
    "StreamUsage",
    "Streams",
    "Tier",
    "TierRule",
]

CAPABILITIES = (
    "coding",
    "agentic_tool_use",
    "mathematics",
    "reasoning_elicitation",
    "judging",
    "data_extraction",
    "translation",
    "creative_writing",
    "role_play",
    "knowledge",
    "safety_probing",
    "small_talk",
)
"""The capabilities whose examples ship with the embedding."""


class OnStoreError(enum.StrEnum):
    """What a budget decides while the store is down."""

    ALLOW = "allow"
    DENY = "deny"
    LOCAL = "local"
    """Each worker counts alone, up to its share of the limit."""


class Disclosure(enum.StrEnum):
    """Which answers carry budget figures in their headers."""

    ALWAYS = "always"
    REFUSALS = "refusals"
    NEVER = "never"


class ResolverSpec(Struct, frozen=True):
    """One resolver of the identity chain, or of a partition.

    Attributes:
        kind: ``user``, ``api_key``, ``header``, ``claim`` or ``client_address``.
        name: The header's name in lower case, or the claim's path (``org.id``); empty otherwise.
        trusted_proxies: Networks (CIDR) that may set the ``header``, or whose Forwarded and
            X-Forwarded-For entries are followed to the ``client_address``.
        ipv4_prefix: Bits kept of an IPv4 address.
        ipv6_prefix: Bits kept of an IPv6 address.
        carriers: Where an ``api_key`` is taken from, in the server's order; the usual places if
            there are none.
        first: Whether the first of them that has a key decides. If not, different keys contradict
            each other.
    """

    kind: str
    name: str = ""
    trusted_proxies: tuple[str, ...] = ()
    ipv4_prefix: int = 32
    ipv6_prefix: int = 64
    carriers: tuple[Carrier, ...] = ()
    first: bool = False


class Missing(enum.StrEnum):
    """What becomes of callers whom a partition's resolver does not name."""

    APART = "apart"
    """Each has an account of its own, so that none uses up another's."""
    SHARED = "shared"
    """All share one account."""
    REFUSE = "refuse"


class Partition(Struct, frozen=True):
    """A named way of pooling callers, for `Budget.per`."""

    name: str
    resolver: ResolverSpec
    missing: Missing = Missing.APART


class Budget(Struct, frozen=True):
    """A named quota, what it is pooled over, which calls it is for and what it does.

    Attributes:
        quota: Limit and window; ``quota.name`` is the budget's name.
        per: Partitions it is pooled over, together: ``identity``, ``everyone``, ``tier``,
            ``model``, ``template`` (callers whose system prompts are alike; in buckets those
            without one too, in other units these count for their identity), ``group`` (accounts
            that are linked; any other is on its own) or a name from the policy's ``partitions``.
            ``("identity", "model")`` keeps one account for each pair.
        match: Which calls.
        weights: What each kind of token counts, for token units.
        mode: Enforce or shadow.
        on_store_error: The answer while the store is down.
        response: What spending it leads to, for buckets; None for every other unit.
        counted: Whether new buckets are counted; if not, only the sweep score matters.
    """

    quota: Quota
    per: tuple[str, ...] = ("identity",)
    match: Match = Match()
    weights: TokenWeights = TokenWeights()
    mode: Mode = Mode.ENFORCE
    on_store_error: OnStoreError = OnStoreError.ALLOW
    response: BucketResponse | None = None
    counted: bool = True

    @property
    def name(self) -> str:
        """The budget's name."""
        return self.quota.name


class Capability(Struct, frozen=True):
    """Something that a model can do, recognised by example prompts that ask for it.

    Attributes:
        name: As in `Match.capability`.
        examples: The policy's prompts; empty for those that ship under the name.
        weight: What one new bucket of such a prompt counts, in millionths. The largest weight
            applies to a prompt of several capabilities.
    """

    name: str
    examples: tuple[str, ...] = ()
    weight: int = MICRO


class Embedding(Struct, frozen=True):
    """What turns prompts into vectors, and vectors into buckets.

    Attributes:
        kind: ``static`` (in the package), ``remote``, ``model2vec`` or ``callable``.
        url: An OpenAI-compatible ``/v1/embeddings``, for ``remote``.
        model: The model's name there; empty where the server has only one.
        api_key: Sent there as bearer token; empty for none.
        timeout: µs after which a ``remote`` answer is late and the prompt counts no bucket.
        target: Path of the model for ``model2vec``, ``package.module:function`` for ``callable``.
        codebook: Path of the codebook made for it; empty for ``static``, whose codebook ships.
        dimensions: Length of a vector to request from ``remote``; 0 for the model's default.
    """

    kind: str = "static"
    url: str = ""
    model: str = ""
    api_key: str = ""
    timeout: int = 500_000
    target: str = ""
    codebook: str = ""
    dimensions: int = 0

    def __repr__(self) -> str:
        return _shown(self, "api_key")


class EstimateSettings(Struct, frozen=True):
    """What is reserved for a call before anything is known of it."""

    output_tokens: Annotated[int, between(0), doc("For a call without a bound or history.")] = 512
    bytes_per_token: Annotated[Factor, doc("UTF-8 bytes of text per token.")] = 4 * MICRO
    image_tokens: Annotated[int, between(0), doc("Tokens for each picture in the prompt.")] = 1_000


class Refusals(Struct, frozen=True):
    """What refusals and budget headers say."""

    disclose: Annotated[Disclosure, doc("Which answers carry figures.")] = Disclosure.ALWAYS
    ietf: Annotated[
        Literal["off", "draft-11"], doc("`draft-11` adds `RateLimit` and `RateLimit-Policy`.")
    ] = "off"
    long_wait: Annotated[
        Duration, doc("Above this wait, clients are asked not to retry automatically.")
    ] = 60 * SECOND
    cors: CorsRule | None = None


class Body(Struct, frozen=True):
    """How request bodies are read."""

    limit: Annotated[
        Size, doc("The largest body of a model call, decompressed; larger ones are refused (413).")
    ] = 16 << 20
    timeout: Annotated[
        Duration, doc("A body that has not arrived whole after this is refused (408).")
    ] = 60 * SECOND
    in_flight: Annotated[
        Size, doc("What bodies that arrive in pieces may hold together in one process (503).")
    ] = 256 << 20


class StreamUsage(enum.StrEnum):
    """Whether servers are asked for the usage of streams."""

    ASK = "ask"
    """Where tokens or money count and the client does not ask itself."""
    LEAVE = "leave"
    """Requests stay as they are."""


class Streams(Struct, frozen=True):
    """How streams are counted."""

    usage: Annotated[
        StreamUsage,
        doc("`ask` puts `stream_options.include_usage` into requests of OpenAI's dialect."),
    ] = StreamUsage.ASK


class PolicyLoader(Protocol):
    """What `Policy.load` is: `querybudget.policy.load_policy`."""

    def __call__(
        self,
        source: str | PathLike[str] | Mapping[str, object],
        *,
        environ: Mapping[str, str] | None = None,
    ) -> Policy:
        """Load a policy from a file, a mapping or a preset."""
        ...


class Policy(Struct, frozen=True):
    """Everything an operator decides. Make one with `load_policy`.

    Attributes:
        budgets: In the order of the file.
        identity: The chain of resolvers; the first that knows the caller wins.
        partitions: By name.
        tiers: In order; the first whose rule holds.
        overrides: What changes for single callers and pools.
        override_sources: Where more of these are read while the server runs.
        models: Pattern over model names to prices, in order; the first match applies.
        routes: Generic routes, in order; before the known dialects.
        server: The servers whose routes are read after `routes`; empty for those of every server
            that cannot be mistaken.
        unknown: What becomes of a request with a body that no adapter reads.
        secret: Keys the hashes of identities; random for one process where the policy gives none.
        store: Where accounts are kept.
        exempt: Globs over paths that are passed through unread.
        probes: Globs over paths that monitors ask; passed through unread if the method has no body.
        hold: µs after which a reservation expires unless it is settled.
        max_identities: Accounts kept by a store in memory or in a file.
        estimate: What is reserved for a call before anything is known of it.
        refusals: What refusals and budget headers say.
        body: How request bodies are read.
        streams: How streams are counted.
        traffic_log: Where calls are written; None for nowhere.
        webhooks: Where messages for operators are sent; None for nowhere.
        unpriced: ``refuse`` or ``free``, for a model without price that a money budget matches.
        source: File the policy came from, or ``<mapping>``.
        health: Path at which the middleware reports the store's health; empty for none.
        metrics: Where metrics go, of a limiter that the middleware makes.
        watch: Whether a running server loads it again when its file changes.
        embedding: What turns prompts into buckets.
        adaptive: How many established callers the sweep score may disturb; None for the shipped
            threshold.
        linking: How accounts are linked into groups; None where none are.
        capabilities: The shipped ones, then the policy's own; bit n of
            `Observation.capabilities` is the n-th of them.
        tests: What is expected of it, for `querybudget test`; decides nothing.
    """

    load: ClassVar[PolicyLoader]
    """`querybudget.policy.load_policy`, which the package binds here."""

    budgets: tuple[Budget, ...]
    identity: tuple[ResolverSpec, ...] = ()
    partitions: Mapping[str, Partition] = {}
    tiers: tuple[Tier, ...] = ()
    overrides: tuple[NamedOverride, ...] = ()
    override_sources: tuple[OverrideSource, ...] = ()
    models: Mapping[str, ModelPrice] = {}
    routes: tuple[GenericRoute, ...] = ()
    server: tuple[Server, ...] = ()
    unknown: Unknown = Unknown.COUNT
    secret: bytes = b""
    store: StoreSettings = StoreSettings()
    exempt: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    hold: int = 15 * 60 * SECOND
    max_identities: int = 100_000
    estimate: EstimateSettings = EstimateSettings()
    refusals: Refusals = Refusals()
    body: Body = Body()
    streams: Streams = Streams()
    traffic_log: TrafficLogSettings | None = None
    webhooks: WebhookSettings | None = None
    unpriced: str = "refuse"
    source: str = "<mapping>"
    health: str = ""
    metrics: Exports = Exports()
    watch: bool = True
    embedding: Embedding = Embedding()
    adaptive: Adaptive | None = None
    linking: Linking | None = None
    capabilities: tuple[Capability, ...] = tuple(Capability(name) for name in CAPABILITIES)
    tests: tuple[Scenario, ...] = ()

    def __repr__(self) -> str:
        return _shown(self, "secret")

    def silent(self) -> Policy:
        """Return this policy without what it writes and sends, to try it out."""
        return replace(self, traffic_log=None, webhooks=None)

    @property
    def counts_buckets(self) -> bool:
        """Whether any budget depends on what calls hold, so that they must be analyzed."""
        return any(
            budget.quota.unit is Unit.BUCKETS or budget.match.analyzed for budget in self.budgets
        )

    @property
    def pools_subjects(self) -> bool:
        """Whether any budget judges callers together whose system prompts are about the same."""
        return any(
            not budget.counted and "template" in budget.per and "identity" not in budget.per
            for budget in self.budgets
        )


def _shown(value: Struct, hidden: str) -> str:
    fields = (
        f"{name}={getattr(value, name)!r}" for name in value.__struct_fields__ if name != hidden
    )
    return f"{type(value).__name__}({', '.join(fields)})"
