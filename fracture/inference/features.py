"""Where a model's features lie on a reference: their mean and covariance, and how far an image is from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fracture.errors import ConfigError

NAME = "reference_features.safetensors"
FEWEST = 20  # images that a covariance is fitted on
_AXES = 32
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """A mean, and a covariance as its largest principal axes and one variance for all the rest.

    That is probabilistic PCA (Tipping and Bishop 1999): a few hundred images fit no full covariance of a thousand
    features.

    Attributes:
        mean: [d].
        axes: [k, d], of unit length.
        spread: [k], standard deviations along them.
        rest: [1], standard deviation along every other direction; infinite where there is none.
    """

    mean: Floats
    axes: Floats
    spread: Floats
    rest: Floats

    @classmethod
    def fit(cls, pooled: Floats) -> "Features":
        """Of pooled features [n, d] of `FEWEST` images or more."""
        n, width = pooled.shape
        mean = pooled.mean(axis=0)
        _, singular, axes = np.linalg.svd(pooled - mean, full_matrices=False)
        variances = singular**2 / (n - 1)
        k = min(_AXES, n // 4, width)
        rest = variances[k:].sum() / max(1, width - k)
        floor = max(float(rest), 1e-6 * float(variances[0]), 1e-12)
        spread, other = np.sqrt(np.maximum(variances[:k], floor)), np.sqrt(floor) if k < width else np.inf
        parts = (mean, axes[:k], spread, np.array([other]))
        return cls(*(np.ascontiguousarray(part, np.float32) for part in parts))

    def distance(self, pooled: Floats) -> Floats:
        """Mahalanobis distance of pooled features [n, d], divided by the root of d: about 1 for such images: [n]."""
        centred = pooled - self.mean
        along = centred @ self.axes.T
        left = np.maximum(0, (centred**2).sum(axis=1) - (along**2).sum(axis=1))
        squared = ((along / self.spread) ** 2).sum(axis=1) + left / self.rest[0] ** 2
        return np.asarray(np.sqrt(squared / len(self.mean)), np.float32)

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        save_file(vars(self), folder / NAME)


def load(folder: Path) -> Features | None:
    """What `save` wrote, None where it wrote nothing.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / NAME
    try:
        return Features(**load_file(path)) if path.is_file() else None
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def cross_fitted(pooled: Floats) -> Floats:
    """The distance of each image from the features of the other half: [n]."""
    found = np.zeros(len(pooled), np.float32)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        others = np.ones(len(pooled), np.bool_)
        others[half] = False
        found[half] = Features.fit(pooled[others]).distance(pooled[half])
    return found
