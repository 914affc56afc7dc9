# ruff: noqa: RUF001 - questions in many scripts
"""Promises of the shipped embedding."""

import hashlib
from importlib import resources

import numpy as np
import pytest

from querybudget.embedding import static
from querybudget.embedding.static import StaticEmbedder, sample
from querybudget.errors import SetupError


async def test_texts_become_unit_vectors_and_no_text_becomes_zeros() -> None:
    embedder = StaticEmbedder.load()
    vectors = await embedder.embed(["How do I bake bread?", "", "..."])
    assert vectors.shape == (3, embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0], atol=1e-5)
    await embedder.aclose()


def test_a_paraphrase_is_nearer_than_another_subject() -> None:
    bread, loaf, sort = StaticEmbedder.load().vectors(
        ["How do I bake bread at home?", "Recipe for baking a loaf", "Sort a list in Python"],
    )
    assert bread @ loaf > bread @ sort + 0.2


def test_a_long_text_is_read_at_its_head_its_tail_and_between() -> None:
    text = "".join(chr(0x4E00 + place % 5_000) for place in range(100_000))
    read = sample(text)
    assert len(read) <= 3_100
    assert [len(window) for window in read.split("\n")] == [1_000, 500, 500, 1_000]
    assert all(window in text for window in read.split("\n"))
    assert text.startswith(read[:1_000])
    assert text.endswith(read[-1_000:])
    assert sample(text) == read


def table() -> static._Table:
    rows = np.array([[127, 0], [0, 127], [0, 0]], dtype=np.int8)
    return static._Table(
        "tiny-1", ["up", "right", "nothing"], rows, np.array([2, 1, 1], np.float32)
    )


def test_a_vector_is_the_sum_of_its_pieces_at_unit_length() -> None:
    embedder = StaticEmbedder(table())
    assert (embedder.name, embedder.dimensions, embedder.suspends) == ("tiny-1", 2, False)
    up, both = embedder.vectors(["up up up", "Up, right!"])
    assert up.tolist() == [1, 0]
    assert np.allclose(both, np.array([2, 1]) / np.sqrt(5))


def test_pieces_without_a_vector_give_zeros() -> None:
    assert StaticEmbedder(table()).vectors(["nothing", "nothing nothing"]).any() == np.False_


def test_a_text_that_is_not_long_is_read_whole() -> None:
    assert sample("a" * 3_000) == "a" * 3_000


def test_the_shipped_table_is_read_once() -> None:
    assert StaticEmbedder.load() is StaticEmbedder.load()


def test_a_file_of_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "FORMAT", static.FORMAT + 1)
    with pytest.raises(SetupError, match="install querybudget again"):
        static._read(static._content())


def test_the_shipped_file_matches_its_digest() -> None:
    folder = resources.files("querybudget.embedding") / "data"
    digest = hashlib.sha256((folder / "static.npz").read_bytes()).hexdigest()
    assert (folder / "static.sha256").read_text().split() == [digest, "static.npz"]


def test_the_shipped_file_is_small_enough_for_the_wheel() -> None:
    assert len(static._content()) < 7_400_000


SAME = {
    "zh": "如何在家烤面包？",
    "ja": "家でパンを焼くにはどうすればいいですか？",
    "ko": "집에서 빵을 어떻게 굽나요?",
    "ru": "Как испечь хлеб дома?",
    "ar": "كيف أخبز الخبز في المنزل؟",
    "hi": "घर पर रोटी कैसे बनाएं?",
    "de": "Wie backe ich zu Hause Brot?",
    "fr": "Comment faire du pain à la maison ?",
    "es": "¿Cómo hago pan en casa?",
    "pt": "Como faço pão em casa?",
    "it": "Come faccio il pane a casa?",
    "tr": "Evde ekmek nasıl yapılır?",
    "vi": "Làm bánh mì ở nhà như thế nào?",
    "id": "Bagaimana cara membuat roti di rumah?",
    "th": "ทำขนมปังที่บ้านอย่างไร",
    "nl": "Hoe bak ik thuis brood?",
}


@pytest.mark.parametrize("language", SAME)
def test_a_translation_is_nearest_to_its_original(language: str) -> None:
    embedder = StaticEmbedder.load()
    english = embedder.vectors(
        [
            "How do I bake bread at home?",
            "Sort a list of numbers in Python",
            "Who was the first president of France?",
            "Translate this letter for my lawyer",
            "The train to the airport is late again",
        ],
    )
    assert int((english @ embedder.vectors([SAME[language]])[0]).argmax()) == 0
