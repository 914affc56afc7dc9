"""The shipped embedding: what its vectors promise."""

import numpy as np

from querybudget.embedding.static import StaticEmbedder


async def test_texts_become_unit_vectors_and_no_text_becomes_zeros() -> None:
    embedder = StaticEmbedder.load()
    vectors = await embedder.embed(["How do I bake bread?", "", "..."])
    assert vectors.shape == (3, embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0], atol=1e-5)
    await embedder.aclose()


def test_one_meaning_in_other_words_is_nearer_than_another_meaning() -> None:
    bread, loaf, sort = StaticEmbedder.load().vectors(
        ["How do I bake bread at home?", "Recipe for baking a loaf", "Sort a list in Python"],
    )
    assert bread @ loaf > bread @ sort + 0.2
