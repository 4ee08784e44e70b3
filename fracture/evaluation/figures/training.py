"""How training went, epoch by epoch."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fracture.evaluation.figures.style import COLOURS, GREY, figure, plain, styled

_PANELS = (
    ("loss, nats", ("train_loss", "val_loss")),
    ("validation", ("val_balanced_accuracy", "val_macro_f1", "val_accuracy")),
    ("learning rate", ("lr",)),
)


def training_figure(history: Sequence[Mapping[str, float]], best_epoch: int) -> Figure:
    """Losses, validation metrics and learning rate against the epoch; a line marks the epoch that was chosen."""
    with styled():
        made, axes = figure(3, 1, 3.7, 3.0)
        epochs = range(1, len(history) + 1)
        for axis, (label, names) in zip(axes, _PANELS, strict=True):
            for number, name in enumerate(names):
                values = [entry[name] for entry in history]
                axis.plot(epochs, values, marker=".", color=COLOURS[number], label=plain(name))
            axis.axvline(best_epoch, color=GREY, linestyle=":", linewidth=1)
            axis.set(xlabel="epoch", title=label)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            if len(names) > 1:
                axis.legend()
        axes[2].set_yscale("log")
        return made
