"""What prompts are about, and what turns them into vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from querybudget.errors import PolicyError
from querybudget.policy.load import load_text
from querybudget.policy.model import CAPABILITIES, Capability, Embedding, Policy
from querybudget.units import MICRO, SECOND

GOOD = Path(__file__).parent / "good"
RPM = {"name": "rpm", "limit": "60/minute"}
ENVIRON = {"QUERYBUDGET_SECRET": "0123456789abcdef0123456789abcdef"}


def capabilities(given: object) -> tuple[Capability, ...]:
    return Policy.load({"budgets": [RPM], "capabilities": given}, environ={}).capabilities


def embedding(name: str) -> Embedding:
    return Policy.load(GOOD / f"{name}_embedding.yaml", environ=ENVIRON).embedding


def test_capabilities_that_ship_are_always_known() -> None:
    policy = Policy.load({"budgets": [RPM]}, environ={})
    assert [each.name for each in policy.capabilities] == list(CAPABILITIES)
    assert {(each.examples, each.weight) for each in policy.capabilities} == {((), MICRO)}


def test_a_policy_may_weigh_capabilities_that_ship_and_add_its_own() -> None:
    found = {each.name: each for each in Policy.load(GOOD / "buckets.yaml").capabilities}
    assert list(found) == [*CAPABILITIES, "legal_advice"]
    assert found["coding"] == Capability("coding", weight=3 * MICRO)
    assert found["mathematics"].weight == MICRO * 3 // 2
    assert found["judging"].examples == ("Which of these two answers is better?",)
    assert found["legal_advice"] == Capability(
        "legal_advice",
        ("Can my landlord do this?", "Draft a notice of termination."),
        MICRO // 2,
    )


def test_a_policy_adds_at_most_forty_capabilities() -> None:
    own = {f"own{number}": {"examples": "Do it."} for number in range(41)}
    with pytest.raises(PolicyError, match="at most 40 capabilities besides those that ship"):
        capabilities(own)
    del own["own0"]
    assert len(capabilities(own)) == len(CAPABILITIES) + 40


def test_a_capability_has_at_most_64_examples_of_2000_characters() -> None:
    texts = [f"{number} ".ljust(2_000, "x") for number in range(64)]
    assert capabilities({"own": {"examples": texts}})[-1].examples == tuple(texts)
    for examples, expected in (
        ([*texts, "One more."], "at most 64 examples, found 65"),
        (["x" * 2_001], "1 to 2000 characters, found 2001"),
    ):
        with pytest.raises(PolicyError, match=expected):
            capabilities({"own": {"examples": examples}})


def test_the_embedding_is_the_one_in_the_package_unless_the_policy_says_otherwise() -> None:
    assert Policy.load({"budgets": [RPM]}, environ={}).embedding == Embedding()
    settings: tuple[object, ...] = ("static", {"static": {}})
    for given in settings:
        policy = Policy.load({"budgets": [RPM], "embedding": given}, environ={})
        assert policy.embedding == Embedding()


def test_a_remote_embedding_is_read_without_loss() -> None:
    assert embedding("remote") == Embedding(
        "remote",
        url="https://tei.internal:8443/v1/embeddings",
        model="bge-m3",
        api_key=ENVIRON["QUERYBUDGET_SECRET"],
        timeout=2 * SECOND,
        codebook="/etc/querybudget/cells.npz",
        dimensions=256,
    )


def test_local_embeddings_are_a_path_or_a_function_and_a_codebook() -> None:
    assert embedding("model2vec") == Embedding(
        "model2vec", target="models/potion", codebook="cells.npz"
    )
    assert embedding("callable") == Embedding(
        "callable", target="our.models:embed", codebook="cells.npz"
    )


def test_the_key_of_an_endpoint_is_not_in_a_policy_s_repr() -> None:
    policy = Policy.load(GOOD / "remote_embedding.yaml", environ=ENVIRON)
    assert ENVIRON["QUERYBUDGET_SECRET"] not in repr(policy)


@pytest.mark.parametrize(
    "url", ["tei", "//tei/v1", "http://", "http://[::1/v1", "http://tei:0/", "ftp://tei/"]
)
def test_a_wrong_url_of_an_endpoint_is_refused_and_not_shown(url: str) -> None:
    text = f"embedding: {{remote: {{url: '${{U}}', codebook: c}}}}\nbudgets: [{RPM}]\n"
    with pytest.raises(PolicyError, match="expected the URL of an endpoint") as caught:
        load_text(text, "p.yaml", {"U": url})
    assert url not in str(caught.value).replace("http://tei:8080/v1/embeddings", "")
