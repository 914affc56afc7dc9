from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from querybudget.coverage.observation import COARSE, FINE
from querybudget.embedding.codebook import POINT, Codebook
from querybudget.errors import SetupError

KEY = b"a key of one deployment"


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def scattered(count: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    """Return unit vectors in loose groups, slightly off centre, as embeddings are."""
    random = np.random.default_rng(seed)
    groups = random.standard_normal((400, dimensions))
    places = groups[random.integers(0, 400, count)]
    return unit(places + 0.4 * random.standard_normal((count, dimensions)) + 0.5)


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return scattered(12_000, 40, 1)


@pytest.fixture(scope="module")
def plain(vectors: NDArray[np.float32]) -> Codebook:
    return Codebook.fit(vectors, "test-1")


@pytest.fixture(scope="module")
def shipped() -> Codebook:
    return Codebook.load()


def test_every_cell_number_is_one_of_the_codebook(
    plain: Codebook, vectors: NDArray[np.float32]
) -> None:
    for codebook in (plain, plain.keyed(KEY)):
        fine, coarse, points = codebook.cells(vectors)
        assert set(fine.tolist()) <= set(range(FINE))
        assert set(coarse.tolist()) <= set(range(COARSE))
        assert points.shape == (len(vectors), POINT)


def test_every_fine_cell_lies_in_one_coarse_cell(
    plain: Codebook, vectors: NDArray[np.float32]
) -> None:
    fine, coarse, _ = plain.keyed(KEY).cells(vectors)
    assert len(set(zip(fine.tolist(), coarse.tolist(), strict=True))) == len(set(fine.tolist()))


def test_vectors_spread_over_the_cells(plain: Codebook, vectors: NDArray[np.float32]) -> None:
    fine, coarse, _ = plain.cells(vectors)
    assert len(set(coarse.tolist())) == COARSE
    assert len(set(fine.tolist())) > 0.8 * FINE


def test_vectors_nearby_share_a_cell(plain: Codebook, vectors: NDArray[np.float32]) -> None:
    random = np.random.default_rng(5)
    near = unit(vectors + 0.01 * random.standard_normal(vectors.shape))
    assert (plain.cells(vectors)[0] == plain.cells(near)[0]).mean() > 0.8


@given(seed=st.integers(0, 2**32 - 1), key=st.binary(max_size=80))
def test_cell_and_cells_agree(shipped: Codebook, seed: int, key: bytes) -> None:
    codebook = shipped.keyed(key)
    some = unit(np.random.default_rng(seed).standard_normal((5, codebook.dimensions)))
    fine, coarse, points = codebook.cells(some)
    for row, vector in enumerate(some):
        one = codebook.cell(vector)
        assert one[:2] == (fine[row], coarse[row])
        difference = np.frombuffer(one[2], np.int8).astype(int) - points[row]
        assert np.abs(difference).max() <= 1  # a sum in another order may round the other way


def test_a_vector_of_zeros_has_no_cell(plain: Codebook) -> None:
    zeros = np.zeros((2, plain.dimensions), np.float32)
    fine, coarse, points = plain.cells(zeros)
    assert fine.tolist() == coarse.tolist() == [-1, -1]
    assert not points.any()
    assert plain.cell(zeros[0]) == (-1, -1, b"")


def test_no_vectors_give_no_cells(plain: Codebook) -> None:
    fine, coarse, points = plain.cells(np.zeros((0, plain.dimensions), np.float32))
    assert len(fine) == len(coarse) == len(points) == 0


def test_a_vector_at_the_mean_still_has_a_cell(plain: Codebook) -> None:
    fine, coarse, point = plain.cell(plain.mean)
    assert 0 <= fine < FINE
    assert 0 <= coarse < COARSE
    assert point == bytes(POINT)


def test_a_key_changes_which_prompts_share_a_cell(
    plain: Codebook, vectors: NDArray[np.float32]
) -> None:
    moved = plain.keyed(KEY)
    before, after = plain.cells(vectors)[0], moved.cells(vectors)[0]
    renumbered = np.empty(FINE, np.int64)
    renumbered[moved.fine_numbers.ravel()] = np.arange(FINE)
    assert 0.05 < (renumbered[after] != before).mean() < 0.6


def test_keys_give_unrelated_numbers(shipped: Codebook) -> None:
    some = unit(np.random.default_rng(4).standard_normal((4_000, shipped.dimensions)))
    one, other = shipped.keyed(b"one").cells(some), shipped.keyed(b"other").cells(some)
    assert (one[0] == other[0]).mean() < 0.02
    assert (one[1] == other[1]).mean() < 0.05
    assert (one[2] == other[2]).mean() < 0.1


def test_a_key_keeps_the_number_of_distinct_cells_within_a_tenth(
    plain: Codebook, vectors: NDArray[np.float32]
) -> None:
    before = len(set(plain.cells(vectors[:1_000])[0].tolist()))
    for key in (b"a", b"b", b"c"):
        after = len(set(plain.keyed(key).cells(vectors[:1_000])[0].tolist()))
        assert after == pytest.approx(before, rel=0.1)


def test_a_key_keeps_cosines_of_points(shipped: Codebook) -> None:
    some = unit(np.random.default_rng(6).standard_normal((200, shipped.dimensions)))
    before, after = (book.cells(some)[2].astype(int) for book in (shipped, shipped.keyed(KEY)))
    difference = before @ before.T - after @ after.T
    assert np.abs(difference).max() < 0.06 * 127 * 127


def test_points_keep_the_cosines_of_their_vectors(
    plain: Codebook, vectors: NDArray[np.float32]
) -> None:
    some = vectors[:500]
    centred = unit(some - plain.mean)
    points = plain.cells(some)[2].astype(float) / 127
    cosines, products = centred @ centred.T, points @ points.T
    assert np.corrcoef(cosines.ravel(), products.ravel())[0, 1] > 0.9


def test_another_process_has_the_same_cells(shipped: Codebook) -> None:
    program = (
        "import numpy as np\n"
        "from querybudget.embedding.codebook import Codebook\n"
        f"keyed = Codebook.load().keyed({KEY!r})\n"
        "print(*map(int, keyed.cells(keyed.coarse)[0]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    keyed = shipped.keyed(KEY)
    assert [int(cell) for cell in run.stdout.split()] == keyed.cells(keyed.coarse)[0].tolist()


def test_the_numbers_of_a_key_never_change(shipped: Codebook) -> None:
    """Stored buckets would lose their meaning: raise `VERSION` of the codebook instead."""
    keyed = shipped.keyed(b"frozen")
    assert keyed.coarse_numbers[:6].tolist() == [15, 25, 9, 84, 57, 179]
    assert keyed.fine_numbers[0, :6].tolist() == [3617, 3948, 70, 2987, 701, 3952]


def test_a_saved_codebook_loads(
    plain: Codebook, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    plain.save(tmp_path / "cells.npz")
    loaded = Codebook.load(tmp_path / "cells.npz")
    assert (loaded.name, loaded.dimensions) == ("test-1", 40)
    assert (loaded.cells(vectors)[0] == plain.cells(vectors)[0]).mean() > 0.97


def test_a_loaded_codebook_saves_to_the_same_cells(shipped: Codebook, tmp_path: Path) -> None:
    shipped.save(tmp_path / "again.npz")
    again = Codebook.load(str(tmp_path / "again.npz"))
    some = unit(np.random.default_rng(8).standard_normal((500, shipped.dimensions)))
    assert (again.cells(some)[0] == shipped.cells(some)[0]).mean() > 0.99


def test_a_keyed_codebook_is_not_saved(plain: Codebook, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="a keyed codebook cannot be saved"):
        plain.keyed(KEY).save(tmp_path / "cells.npz")


def test_the_shipped_codebook_is_small() -> None:
    size = len(files("querybudget.embedding").joinpath("data/codebook.npz").read_bytes())
    assert size <= 1_048_576


@pytest.mark.slow
def test_the_same_vectors_give_the_same_codebook(
    plain: Codebook, vectors: NDArray[np.float32]
) -> None:
    again = Codebook.fit(vectors, "test-1")
    assert np.array_equal(again.fine, plain.fine)
    assert np.array_equal(again.axes, plain.axes)


@pytest.mark.slow
def test_a_prompt_of_weight_zero_moves_no_cell(
    plain: Codebook, vectors: NDArray[np.float32]
) -> None:
    ones, none = np.ones(len(vectors), np.float32), np.zeros(500, np.float32)
    stray = scattered(500, 40, 77)
    beside = Codebook.fit(
        np.concatenate((vectors, stray)), "test-1", weights=np.concatenate((ones, none))
    )
    assert np.allclose(plain.mean, beside.mean, atol=1e-5)


def test_an_embedding_of_few_numbers_has_a_codebook_too() -> None:
    small = scattered(9_000, 8, 2)
    codebook = Codebook.fit(small, "small")
    assert len(codebook.cell(small[0])[2]) == POINT
    assert len(set(codebook.keyed(KEY).cells(small)[0].tolist())) > 2_000


@pytest.mark.slow
def test_cells_with_few_different_prompts_still_get_their_fine_cells() -> None:
    lumps = unit(np.random.default_rng(9).standard_normal((300, 16)))
    wide = unit(np.random.default_rng(10).standard_normal((8_500, 16)) * 0.05 + lumps[0])
    codebook = Codebook.fit(np.concatenate((lumps, wide)), "lumps")
    assert np.isfinite(codebook.fine).all()
    assert np.allclose(np.linalg.norm(codebook.fine, axis=-1), 1, atol=1e-4)


def test_too_few_prompts_make_no_codebook(vectors: NDArray[np.float32]) -> None:
    with pytest.raises(SetupError, match=r"8,192 different prompts at least .* found 3,000"):
        Codebook.fit(np.concatenate([vectors[:3_000]] * 4), "few")


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)], ids=["empty", "text", "archive"]
)
def test_a_file_that_is_not_a_codebook_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cells.npz"
    path.write_bytes(content)
    with pytest.raises(SetupError, match="expected a codebook as"):
        Codebook.load(path)


def test_a_single_array_is_not_a_codebook(tmp_path: Path) -> None:
    np.save(tmp_path / "cells.npy", np.zeros(3))
    with pytest.raises(SetupError, match="expected a codebook as"):
        Codebook.load(tmp_path / "cells.npy")


def test_a_missing_codebook_is_an_error_with_its_path() -> None:
    with pytest.raises(SetupError, match="expected a codebook at nowhere"):
        Codebook.load("nowhere/cells.npz")


def test_a_codebook_of_another_version_is_an_error(plain: Codebook, tmp_path: Path) -> None:
    path = tmp_path / "cells.npz"
    plain.save(path)
    with np.load(path) as data:
        content = dict(data)
    content["version"] = np.int32(99)
    np.savez(path, **content)
    with pytest.raises(SetupError, match="found version 99"):
        Codebook.load(path)
