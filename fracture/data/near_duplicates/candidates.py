"""First stage of the near-duplicate search: for every image the few others that could be copies of it.

An image becomes one vector (VLAD, after Jégou et al., "Aggregating local descriptors into a compact image
representation", CVPR 2010) and its mirrored and inverted selves three more, made from the same descriptors by
reordering them. Nearest vectors, by exact search, are candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from fracture.data.near_duplicates.signatures import ORDERS, Signature

Floats = npt.NDArray[np.float32]

_WORDS = 64
_LOCAL_DIMENSIONS = 64  # of 128; with 48 one copy in a hundred is lost
_DIMENSIONS = 256
_UNCOMPRESSED = 2_000  # images up to which vectors keep all their 4,096 dimensions: 33 MB
_TRAIN_DESCRIPTORS = 40_000
_TRAIN_IMAGES = 4_096
_BLOCK = 512  # images embedded at once: 25 MB


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What turns descriptors into one vector; learned from the pool itself, so it needs no file.

    Attributes:
        basis: [128, local]; words: [words, local]; mean: [words x local].
        projection: [words x local, dimensions], None where vectors are left as long as they are.
    """

    basis: Floats
    words: Floats
    mean: Floats
    projection: Floats | None

    def embed(self, signatures: Sequence[Signature], transform: str = "identity") -> Floats:
        """Return unit vectors, float32 [images, dimensions], of the images after ``transform``; 0 without keypoints."""
        basis = self.basis[ORDERS[transform]]  # reordering the basis is reordering every descriptor
        blocks = []
        for start in range(0, len(signatures), _BLOCK):
            vectors = _vlad(signatures[start : start + _BLOCK], basis, self.words) - self.mean
            blocks.append(vectors if self.projection is None else vectors @ self.projection)
        described = np.array([len(s.descriptors) > 0 for s in signatures], np.float32)
        return _unit(np.concatenate(blocks)) * described[:, None]


def learn_vocabulary(signatures: Sequence[Signature], seed: int = 0) -> Vocabulary:
    """Learn words (k-means) and axes (PCA, half whitened) from at most 40,000 descriptors and 4,096 images of the pool.

    A pool of up to 2,000 images gets no axes: so few would amplify just what a copy and its original differ in.

    Args:
        signatures: two or more, with keypoints.
        seed: of the samples and of k-means; the same pool in the same order gives the same vocabulary.
    """
    rng = np.random.default_rng(seed)
    sample = _sample_descriptors(signatures, rng)
    basis = PCA(min(_LOCAL_DIMENSIONS, len(sample)), random_state=seed).fit(sample).components_.T.astype(np.float32)
    words = max(1, min(_WORDS, len(sample) // 20))
    means = MiniBatchKMeans(words, n_init=3, max_iter=30, batch_size=4096, random_state=seed).fit(sample @ basis)
    centres = means.cluster_centers_.astype(np.float32)
    chosen = np.sort(rng.permutation(len(signatures))[:_TRAIN_IMAGES])
    vectors = _vlad([signatures[i] for i in chosen], basis, centres)
    if len(signatures) <= _UNCOMPRESSED:
        return Vocabulary(basis, centres, vectors.mean(axis=0), None)
    axes = PCA(min(_DIMENSIONS, *vectors.shape), svd_solver="randomized", random_state=seed).fit(vectors)
    variance = np.maximum(axes.explained_variance_, axes.explained_variance_.max() * 1e-3)
    projection = (axes.components_ / variance[:, None] ** 0.25).T
    return Vocabulary(basis, centres, axes.mean_.astype(np.float32), projection.astype(np.float32))


class Index:
    """The vectors of a pool, to be searched exactly: quadratic, but with so small a factor that 20,000 take seconds.

    Args:
        signatures: of the pool, all with keypoints, two or more.
    """

    def __init__(self, signatures: Sequence[Signature]) -> None:
        self._vocabulary = learn_vocabulary(signatures)
        self._vectors = self._vocabulary.embed(signatures)

    def nearest(
        self, queries: Sequence[Signature], neighbours: int, position: int | None = None
    ) -> list[list[tuple[int, str]]]:
        """Return for each query its nearest images of the pool, nearest first, and the transform each is near under.

        Args:
            queries: at most a few hundred at once.
            neighbours: how many to return for each, fewer than there are in the pool.
            position: of the first query where they are a run of the pool itself; no image is its own neighbour.
        """
        similar, transform = self._compare(queries)
        rows = np.arange(len(queries))
        if position is not None:
            similar[rows, position + rows] = -np.inf
        top = np.argpartition(-similar, neighbours, axis=1)[:, :neighbours]
        top = np.take_along_axis(top, np.argsort(-np.take_along_axis(similar, top, 1), axis=1, kind="stable"), 1)
        names = list(ORDERS)
        return [[(int(image), names[transform[row, image]]) for image in top[row]] for row in rows]

    def _compare(self, queries: Sequence[Signature]) -> tuple[Floats, npt.NDArray[np.uint8]]:
        """Similarity [queries, pool] under the best transform, and that transform's number."""
        first, *others = ORDERS
        best = self._vocabulary.embed(queries, first) @ self._vectors.T
        transform = np.zeros(best.shape, np.uint8)
        for number, name in enumerate(others, start=1):
            similar = self._vocabulary.embed(queries, name) @ self._vectors.T
            np.copyto(transform, number, where=similar > best)
            np.maximum(best, similar, out=best)
        return best, transform


def _sample_descriptors(signatures: Sequence[Signature], rng: np.random.Generator) -> Floats:
    """At most 40,000 descriptors of the pool, a quarter of them under each transform."""
    counts = np.array([len(s.descriptors) for s in signatures])
    share = min(1.0, _TRAIN_DESCRIPTORS / max(1, counts.sum()))
    kept = [s.descriptors[rng.random(len(s.descriptors)) < share] if share < 1 else s.descriptors for s in signatures]
    sample = np.concatenate(kept).astype(np.float32)
    return np.concatenate([sample[start::4][:, order] for start, order in enumerate(ORDERS.values())])


def _vlad(signatures: Sequence[Signature], basis: Floats, words: Floats) -> Floats:
    """Sum of residuals to the nearest word; each word's sum is scaled to length 1 before the roots are taken.

    Large keypoints weigh more: those that noise makes are small. Returns float32 [images, words x local dimensions].
    """
    counts = [len(s.descriptors) for s in signatures]
    local = np.concatenate([s.descriptors for s in signatures]).astype(np.float32) @ basis
    word = np.argmax(local @ words.T - 0.5 * (words**2).sum(axis=1), axis=1)
    weight = np.sqrt(np.concatenate([s.keypoints[:, 2] for s in signatures]))
    row = np.repeat(np.arange(len(signatures)), counts) * len(words) + word
    place = (row, np.arange(len(local)))
    gather = csr_matrix((weight, place), shape=(len(signatures) * len(words), len(local)), dtype=np.float32)
    residuals = np.asarray(gather @ (local - words[word]))
    sums = _unit(residuals).reshape(len(signatures), -1)
    return _unit(np.sign(sums) * np.sqrt(np.abs(sums)))


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9), np.float32)
