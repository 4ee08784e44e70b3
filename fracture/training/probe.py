"""A linear probe: the best linear head on frozen features, which fine-tuning then starts from (Kumar et al. 2022).

Fine-tuning from a random head first destroys what pretrained features know: its early gradients are noise. A head that
is already right lets them move only where that helps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import nn

from fracture.data.batches import Normalize
from fracture.models.backbones import last_layer
from fracture.training.execution import Plan
from fracture.training.learner import prepare

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Pixels = Callable[[Integers], npt.NDArray[np.uint8]]  # positions to grey squares

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1)  # C of the logistic regression, tried by cross-validation
USUAL = 1e-3  # of them, where cross-validation cannot tell
FOLDS = 5
_ITERATIONS = 500


def _quiet() -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Layer:
    """A linear layer.

    Attributes:
        weight: float64 [classes, features].
        bias: float64 [classes].
    """

    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class Head:
    """A linear head for the features as they are.

    Attributes:
        weight, bias: see `Layer`.
        strengths: the C that cross-validation has chosen, for each part of the features.
        loss: the balanced log-loss there, in nats, the mean over parts; None where there were too few groups for it.
    """

    weight: Floats
    bias: Floats
    strengths: tuple[float, ...]
    loss: float | None

    @property
    def layer(self) -> Layer:
        """Itself without how it was found."""
        return Layer(self.weight, self.bias)

    def logits(self, found: Floats) -> Floats:
        """Its answers [n, classes] to features [n, features]."""
        return np.asarray(found @ self.weight.T + self.bias)


def features(
    model: nn.Module, plan: Plan, normalize: Normalize, pixels: Pixels, indices: Integers, tick: Callable[[], None]
) -> tuple[Floats, Floats]:
    """What the last layer sees, [n, features]: the mean of each image and its mirror image, and each image alone.

    ``tick`` is called after every batch.
    """
    model.eval()
    means, alone = [], []
    for start in range(0, len(indices), plan.micro_batch):
        inputs = prepare(torch.from_numpy(pixels(indices[start : start + plan.micro_batch])), plan, normalize)
        with torch.inference_mode(), plan.autocast():
            plain, mirrored = (
                model.forward_head(model.forward_features(x), pre_logits=True).float().cpu().numpy()  # type: ignore[operator]
                for x in (inputs, inputs.flip(-1))
            )
        means.append((plain + mirrored) / 2)
        alone.append(plain)
        tick()
    return np.concatenate(means).astype(np.float64), np.concatenate(alone).astype(np.float64)


def fit(
    found: Floats,
    labels: Integers,
    groups: Sequence[str],
    classes: int,
    parts: int = 1,
    tick: Callable[[], None] = _quiet,
) -> Head:
    """As `fit_part` for each of ``parts`` equal shares of the features, as one head: it answers the mean of theirs.

    What several scales of an image say is worth more as a mean of opinions than to one regression on all of them.
    """
    heads = [fit_part(part, labels, groups, classes, tick) for part in np.split(found, parts, axis=1)]
    return _joined(heads)


def fits(labels: Integers, groups: Sequence[str]) -> int:
    """How many regressions `fit_part` makes in cross-validation."""
    return len(STRENGTHS) * len(group_folds(labels, groups))


def fit_part(
    found: Floats, labels: Integers, groups: Sequence[str], classes: int, tick: Callable[[], None] = _quiet
) -> Head:
    """The class-balanced logistic regression on standardised features whose strength does best by group.

    Args:
        found: [n, features].
        labels: [n], each class among them.
        groups: [n], what cross-validation keeps together.
        classes: how many there are.
        tick: called after every regression; thousands of images take seconds for each.
    """
    mean, spread = found.mean(axis=0), found.std(axis=0) + 1e-6
    with threadpool_limits(1):  # two threads wait for each other on matrices this small, and sum in another order
        scaled, turn = _turned((found - mean) / spread)
        folds = group_folds(labels, groups)
        losses = {c: _cross_validated(scaled, labels, folds, c, tick) for c in (STRENGTHS if folds else ())}
        best = min(losses, key=lambda c: losses[c], default=USUAL)
        fitted = _fit(scaled, labels, best)
    return _folded(fitted, turn, mean, spread, classes, best, losses.get(best))


def out_of_fold(
    learned: Floats,
    answered: Floats,
    labels: Integers,
    groups: Sequence[str],
    classes: int,
    strengths: Sequence[float],
    tick: Callable[[], None] = _quiet,
) -> Floats | None:
    """Logits [n, classes] of every image by a head that has learned from the images of other groups only.

    Args:
        learned: what heads are fitted on: [n, features], as many equal parts as ``strengths``.
        answered: what they answer to, of the same images: the model may answer without the mirror image.
        labels: [n].
        groups: [n], what stays together.
        classes: how many there are.
        strengths: as `fit` has chosen them, one a part.
        tick: called after every head.

    Returns:
        None where some class has too few groups.
    """
    folds = group_folds(labels, groups)
    if not folds:
        return None
    logits = np.zeros((len(labels), classes))
    for train, rest in folds:
        head = fit_again(learned[train], labels[train], classes, strengths, tick)
        logits[rest] = head.logits(answered[rest])
    return logits


def fit_again(
    found: Floats, labels: Integers, classes: int, strengths: Sequence[float], tick: Callable[[], None] = _quiet
) -> Head:
    """As `fit`, with strengths that were chosen before: one for each of as many equal parts of the features."""
    heads = []
    for part, strength in zip(np.split(found, len(strengths), axis=1), strengths, strict=True):
        heads.append(_of_strength(part, labels, classes, strength))
        tick()
    return _joined(heads)


def _joined(heads: Sequence[Head]) -> Head:
    """Heads for parts of the features as one for all of them, which answers the mean of theirs."""
    losses = [head.loss for head in heads if head.loss is not None]
    return Head(
        np.concatenate([head.weight for head in heads], axis=1) / len(heads),
        np.mean([head.bias for head in heads], axis=0),
        tuple(strength for head in heads for strength in head.strengths),
        float(np.mean(losses)) if losses else None,
    )


def _of_strength(found: Floats, labels: Integers, classes: int, strength: float) -> Head:
    mean, spread = found.mean(axis=0), found.std(axis=0) + 1e-6
    with threadpool_limits(1):
        scaled, turn = _turned((found - mean) / spread)
        fitted = _fit(scaled, labels, strength)
    return _folded(fitted, turn, mean, spread, classes, strength, None)


def _folded(
    fitted: LogisticRegression, turn: Floats, mean: Floats, spread: Floats, classes: int, strength: float,
    loss: float | None,
) -> Head:  # fmt: skip
    """A regression on standardised and turned features as a head for the features as they are."""
    weight, bias = fitted.coef_ @ turn.T, fitted.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / spread
    return Head(weight, bias - weight @ mean, (strength,), loss)


def start_head(model: nn.Module, head: Head | Layer) -> None:
    """Give a model's last layer a linear probe.

    Raises:
        ValueError: its last layer is not linear.
    """
    layer = last_layer(model)
    if layer is None:
        raise ValueError("the last layer is not linear")
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))


def _turned(scaled: Floats) -> tuple[Floats, Floats]:
    """Features in the axes that the images span, and those axes: the same to a ridge penalty, and often far fewer."""
    if scaled.shape[1] <= scaled.shape[0]:
        return scaled, np.eye(scaled.shape[1])
    powers, sides = np.linalg.eigh(scaled @ scaled.T)
    kept = powers > 1e-9 * powers[-1]
    axes = scaled.T @ (sides[:, kept] / np.sqrt(powers[kept]))
    return scaled @ axes, axes


def _fit(scaled: Floats, labels: Integers, strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=_ITERATIONS).fit(scaled, labels)


def group_folds(labels: Integers, groups: Sequence[str]) -> list[tuple[Integers, Integers]]:
    """Positions of group folds to learn from and to judge by; none where there are too few groups for that."""
    known = np.unique(labels)
    per_class = [len({group for group, label in zip(groups, labels, strict=True) if label == k}) for k in known]
    folds = min(FOLDS, *per_class)
    if folds < 2:
        return []
    parts = list(StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(labels, labels, groups))
    return parts if all(len(np.unique(labels[train])) == len(known) for train, _ in parts) else []


def _cross_validated(
    scaled: Floats,
    labels: Integers,
    parts: Sequence[tuple[Integers, Integers]],
    strength: float,
    tick: Callable[[], None],
) -> float:
    """Balanced log-loss over folds."""
    shares = np.zeros((len(labels), len(np.unique(labels))))
    for train, rest in parts:
        shares[rest] = _fit(scaled[train], labels[train], strength).predict_proba(scaled[rest])
        tick()
    weights = compute_sample_weight("balanced", labels)
    return float(log_loss(labels, shares, sample_weight=weights, labels=np.unique(labels)))
