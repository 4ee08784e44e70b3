"""Signatures outlive the process; whatever is damaged is made again."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from fracture.data.near_duplicates.signatures import Signature
from fracture.data.near_duplicates.store import SignatureStore


def made_up(seed: int) -> Signature:
    rng = np.random.default_rng(seed)
    return Signature(
        rng.integers(0, 256, (7, 128), np.uint8),
        rng.random((7, 4), np.float32),
        rng.integers(0, 256, (30, 20), np.uint8),
    )


def test_what_was_put_is_there_after_reopening(tmp_path: Path) -> None:
    with SignatureStore(tmp_path) as store:
        store.put("aa", made_up(1))
    with SignatureStore(tmp_path) as store:
        found = store.get_many(["aa"]).get("aa")
        assert found is not None
        np.testing.assert_array_equal(found.descriptors, made_up(1).descriptors)
        assert store.get_many(["bb"]).get("bb") is None


def test_many_at_once(tmp_path: Path) -> None:
    with SignatureStore(tmp_path / "made" / "here") as store:
        store.put_many({f"{number:04}": made_up(number) for number in range(1_200)})
        found = store.get_many([f"{number:04}" for number in range(0, 1_300)])
        assert len(found) == 1_200
        np.testing.assert_array_equal(found["1100"].thumbnail, made_up(1_100).thumbnail)
        assert store.get_many([]) == {}
        store.put_many({})


def test_a_damaged_entry_is_missing_and_can_be_put_again(tmp_path: Path) -> None:
    with SignatureStore(tmp_path) as store:
        store.put_many({"aa": made_up(1), "bb": made_up(2)})
        with sqlite3.connect(store.path) as connection:
            connection.execute("UPDATE signatures SET packed = ? WHERE digest = 'aa'", (b"rubbish",))
        connection.close()
        assert set(store.get_many(["aa", "bb"])) == {"bb"}
        store.put("aa", made_up(1))
        assert set(store.get_many(["aa", "bb"])) == {"aa", "bb"}


@pytest.mark.parametrize("rubbish", [b"no database" * 500, b""], ids=["rubbish", "empty"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, rubbish: bytes) -> None:
    with SignatureStore(tmp_path) as store:
        store.put("aa", made_up(1))
    store.path.write_bytes(rubbish)
    with SignatureStore(tmp_path) as store:
        assert store.get_many(["aa"]).get("aa") is None
        store.put("aa", made_up(1))
        assert store.get_many(["aa"]).get("aa") is not None
    assert store.path.with_suffix(".damaged").is_file() == bool(rubbish)


def test_a_file_damaged_in_the_middle_is_begun_anew(tmp_path: Path) -> None:
    digests = [f"{number:04}" for number in range(300)]
    with SignatureStore(tmp_path) as store:
        store.put_many({digest: made_up(1) for digest in digests})
    with store.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 100_000)
    with SignatureStore(tmp_path) as store:
        assert len(store.get_many(digests)) < 300
        store.put_many({digest: made_up(1) for digest in digests})
        assert len(store.get_many(digests)) == 300


def test_a_file_that_is_deleted_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    with SignatureStore(tmp_path / "cache") as store:
        store.put("aa", made_up(1))
        shutil.rmtree(tmp_path / "cache")
        store.put("bb", made_up(2))  # lost, as in any cache
        store.put("cc", made_up(3))
        assert set(store.get_many(["aa", "cc"])) == {"cc"}
    assert [path.suffix for path in store.path.parent.iterdir()] == [".sqlite"], "nothing was damaged"


def test_two_open_stores_see_each_other(tmp_path: Path) -> None:
    with SignatureStore(tmp_path) as one, SignatureStore(tmp_path) as other:
        one.put("aa", made_up(1))
        other.put("bb", made_up(2))
        assert set(one.get_many(["aa", "bb"])) == set(other.get_many(["aa", "bb"])) == {"aa", "bb"}
