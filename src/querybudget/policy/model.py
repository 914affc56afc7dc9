"""A policy, loaded and ready: frozen, complete, every name resolved, every amount an integer.

`querybudget.policy.load_policy` makes one from YAML or a mapping. Nothing here reads a file or a
clock.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from querybudget.backends import StoreSettings
from querybudget.coverage.response import BucketResponse
from querybudget.units import MICRO, Quota, Unit

if TYPE_CHECKING:
    from os import PathLike

__all__ = [
    "CAPABILITIES",
    "OPERATIONS",
    "Body",
    "Budget",
    "Capability",
    "Disclosure",
    "Embedding",
    "EstimateSettings",
    "GenericRoute",
    "Match",
    "Mode",
    "ModelPrice",
    "OnStoreError",
    "Partition",
    "Policy",
    "Refusals",
    "ResolverSpec",
    "Tier",
    "TierRule",
    "TokenWeights",
]

OPERATIONS = (
    "chat",
    "responses",
    "completions",
    "embeddings",
    "messages",
    "count_tokens",
    "other",
)
"""What `Call.operation` can be, besides the names of generic routes: what adapters know to name."""

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
"""The capabilities that are always known, whose examples ship with the embedding."""


class Mode(enum.StrEnum):
    """Whether a budget refuses, or only says what it would have refused."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class OnStoreError(enum.StrEnum):
    """What a budget answers while the store cannot."""

    ALLOW = "allow"
    DENY = "deny"
    LOCAL = "local"
    """Each worker counts by itself, up to its share of the limit."""


class Disclosure(enum.StrEnum):
    """Which answers carry budget figures in their headers."""

    ALWAYS = "always"
    REFUSALS = "refusals"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ResolverSpec:
    """One link of the identity chain, or one partition, as the policy spells it.

    Attributes:
        kind: ``user``, ``api_key``, ``header``, ``claim`` or ``client_address``.
        name: The header's name in lower case, or the claim's path (``org.id``); empty otherwise.
        trusted_proxies: Networks (CIDR) whose word is taken: for ``header`` who may set it, for
            ``client_address`` whose Forwarded / X-Forwarded-For entries are walked.
        ipv4_prefix: Bits kept of an IPv4 address.
        ipv6_prefix: Bits kept of an IPv6 address.
    """

    kind: str
    name: str = ""
    trusted_proxies: tuple[str, ...] = ()
    ipv4_prefix: int = 32
    ipv6_prefix: int = 64


@dataclass(frozen=True, slots=True)
class Partition:
    """A named way of pooling callers, for `Budget.per`."""

    name: str
    resolver: ResolverSpec


@dataclass(frozen=True, slots=True)
class TierRule:
    """When a tier applies: every part that is given must hold.

    Attributes:
        sources: Identity sources (``anonymous``, ``client_address``, ...); empty for any.
        claims: Claim path to the accepted values, as text.
        headers: Header name (lower case) to the accepted values.
        trusted_proxies: Networks that may set those headers; empty trusts nobody.
    """

    sources: frozenset[str] = frozenset()
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    headers: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tier:
    """A class of callers whose limits are scaled. The first tier whose rule holds is taken.

    Attributes:
        name: Its name; callers of no tier are of tier ``default``.
        when: The rule.
        scale: Budget name or unit to a factor in millionths; a budget's name goes before its unit.
    """

    name: str
    when: TierRule
    scale: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Match:
    """Which calls a budget is for: every part that is given must hold.

    Patterns are globs (``*``, ``?``, ``[...]``), matched with case.

    Attributes:
        path: Patterns over the request's path (``root_path`` taken off).
        method: HTTP methods, upper case; ``WEBSOCKET`` for WebSocket scopes.
        model: Patterns over the model asked for. A call that names no model matches only ``*``.
        operation: Patterns over `Call.operation`.
        tier: Tier names.
        stream: Only streamed calls, only others, or (None) both.
        capability: Names of capabilities; a call that is of any of them matches.
    """

    path: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    operation: tuple[str, ...] = ()
    tier: tuple[str, ...] = ()
    stream: bool | None = None
    capability: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenWeights:
    """What each kind of token counts in a token budget, in millionths (``MICRO`` is 1).

    Attributes:
        input: A prompt token that was not cached.
        cached_input: A prompt token read from a cache.
        cache_write: A prompt token written to a cache.
        output: A generated token that is not reasoning.
        reasoning: A reasoning token.
        logprobs: Each alternative's log-probability given with a token, over and above the token.
    """

    input: int = MICRO
    cached_input: int = MICRO
    cache_write: int = MICRO
    output: int = MICRO
    reasoning: int = MICRO
    logprobs: int = MICRO // 20


@dataclass(frozen=True, slots=True)
class Budget:
    """A named quota, what it is pooled over, which calls it is for and what it does.

    Attributes:
        quota: Limit and window; ``quota.name`` is the budget's name.
        per: Partitions it is pooled over, together: ``identity``, ``everyone``, ``tier``,
            ``model``, ``template`` (all who send the same system prompt; a call without one is its
            caller's own) or a name from the policy's ``partitions``. ``("identity", "model")``
            keeps one account for each pair.
        match: Which calls.
        weights: What each kind of token counts, for token units.
        mode: Enforce or shadow.
        on_store_error: The answer while the store is down.
        response: What follows from spending it, for buckets; None for every other unit.
    """

    quota: Quota
    per: tuple[str, ...] = ("identity",)
    match: Match = Match()
    weights: TokenWeights = TokenWeights()
    mode: Mode = Mode.ENFORCE
    on_store_error: OnStoreError = OnStoreError.ALLOW
    response: BucketResponse | None = None

    @property
    def name(self) -> str:
        """The budget's name."""
        return self.quota.name


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that a model can do, known by prompts that ask for it.

    Attributes:
        name: As `Match.capability` has it.
        examples: Prompts of the policy; empty for those that ship under the name.
        weight: What one new bucket of such a prompt counts, in millionths. A prompt of several
            capabilities counts by the largest.
    """

    name: str
    examples: tuple[str, ...] = ()
    weight: int = MICRO


@dataclass(frozen=True, slots=True)
class Embedding:
    """What turns prompts into vectors, and vectors into buckets.

    Attributes:
        kind: ``static`` (in the package), ``remote``, ``model2vec`` or ``callable``.
        url: Of an OpenAI-compatible ``/v1/embeddings``, for ``remote``.
        model: The model's name there; empty where the server has only one.
        api_key: Sent there as bearer token; empty for none.
        timeout: µs after which a ``remote`` answer is late and the prompt counts no bucket.
        target: Path of the model for ``model2vec``, ``package.module:function`` for ``callable``.
        codebook: Path of the codebook made for it; empty for ``static``, whose own ships.
        dimensions: Length of a vector to ask ``remote`` for; 0 for the model's own.
    """

    kind: str = "static"
    url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    timeout: int = 500_000
    target: str = ""
    codebook: str = ""
    dimensions: int = 0


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a model costs, in picodollars (1e-12 USD) per token: USD per million tokens times 1e6.

    Attributes:
        pattern: Glob over model names; the first that matches is taken.
        input: A prompt token.
        cached_input: A prompt token read from a cache; the price of ``input`` unless given.
        cache_write: A prompt token written to a cache; the price of ``input`` unless given.
        output: A generated token.
        reasoning: A reasoning token; the price of ``output`` unless given.
        request: Picodollars for each request, besides its tokens.
    """

    pattern: str
    input: int
    output: int
    cached_input: int
    cache_write: int
    reasoning: int
    request: int = 0


@dataclass(frozen=True, slots=True)
class EstimateSettings:
    """What is held for a call before anything is known of it.

    Attributes:
        output_tokens: For a caller without history whose call has no bound of its own.
        bytes_per_token: UTF-8 bytes of prompt text per token, in millionths.
        image_tokens: For each picture in the prompt.
    """

    output_tokens: int = 512
    bytes_per_token: int = 4 * MICRO
    image_tokens: int = 1_000


@dataclass(frozen=True, slots=True)
class GenericRoute:
    """A model route of no known dialect, read by JSON pointers (RFC 6901).

    Attributes:
        path: Glob over the request's path.
        operation: Its name in matches, events and reports.
        model: Pointer to the model's name in the request; empty where there is none.
        prompt: Pointers to prompt text; an array of strings counts as many items.
        max_output: Pointer to the caller's bound on output tokens.
        stream: Pointer to the flag that asks for a stream.
        choices: Pointer to the number of answers asked for.
        input_usage: Pointer to the prompt tokens used, in the answer or in one of its events.
        output_usage: Pointer to the output tokens used, likewise.
        text: Pointer to generated text in the answer or in each event, for an estimate.
    """

    path: str
    operation: str = "generic"
    model: str = ""
    prompt: tuple[str, ...] = ()
    max_output: str = ""
    stream: str = ""
    choices: str = ""
    input_usage: str = ""
    output_usage: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Refusals:
    """How refusals and budget headers look.

    Attributes:
        disclose: Which answers carry figures.
        ietf: ``draft-11`` adds ``RateLimit`` and ``RateLimit-Policy``; ``off`` does not.
        long_wait: Above this wait, in µs, clients are told not to retry by themselves.
    """

    disclose: Disclosure = Disclosure.ALWAYS
    ietf: str = "off"
    long_wait: int = 60 * MICRO


@dataclass(frozen=True, slots=True)
class Body:
    """How request bodies are read.

    Attributes:
        limit: Bytes of a body on a known model route, decompressed; a larger one is refused (413).
    """

    limit: int = 16 * 1024 * 1024


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


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything an operator decides. Make one with `Policy.load`.

    Attributes:
        budgets: In the order of the file.
        identity: The chain of resolvers; the first that knows the caller wins.
        partitions: By name.
        tiers: In order; the first whose rule holds.
        models: Prices, in order; the first whose pattern matches.
        routes: Generic routes, in order; before the known dialects.
        secret: Keys the hashes of identities; random for one process where the policy gives none.
        store: Where accounts are kept.
        exempt: Globs over paths that are passed through unseen.
        hold: µs after which a reservation that nobody settles or renews expires.
        max_identities: Accounts kept by a store in memory or in a file.
        estimate: What is held before anything is known.
        refusals: How refusals look.
        body: How request bodies are read.
        unpriced: What a money budget does with a model that no price matches: ``refuse`` or
            ``free``.
        source: File the policy came from, or ``<mapping>``.
        health: Path at which the middleware tells how the store is; empty for none.
        embedding: What turns prompts into buckets.
        capabilities: The shipped ones, then the policy's own; bit n of
            `Observation.capabilities` is the n-th of them.
    """

    load: ClassVar[PolicyLoader]
    """`querybudget.policy.load_policy`, which the package binds here."""

    budgets: tuple[Budget, ...]
    identity: tuple[ResolverSpec, ...] = ()
    partitions: Mapping[str, Partition] = field(default_factory=dict[str, Partition])
    tiers: tuple[Tier, ...] = ()
    models: tuple[ModelPrice, ...] = ()
    routes: tuple[GenericRoute, ...] = ()
    secret: bytes = field(default=b"", repr=False)
    store: StoreSettings = StoreSettings()  # noqa: RUF009 - frozen, from another module
    exempt: tuple[str, ...] = ()
    hold: int = 15 * 60 * MICRO
    max_identities: int = 100_000
    estimate: EstimateSettings = EstimateSettings()
    refusals: Refusals = Refusals()
    body: Body = Body()
    unpriced: str = "refuse"
    source: str = "<mapping>"
    health: str = ""
    embedding: Embedding = Embedding()
    capabilities: tuple[Capability, ...] = tuple(Capability(name) for name in CAPABILITIES)

    @property
    def counts_buckets(self) -> bool:
        """Whether any budget looks at what prompts ask, so that they must be embedded."""
        return any(
            budget.quota.unit is Unit.BUCKETS or budget.match.capability for budget in self.budgets
        )
