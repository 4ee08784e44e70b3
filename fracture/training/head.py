"""The last layer of a job's model, solved before anything is fine-tuned."""

from collections.abc import Callable

from torch import nn

from fracture.training import execution, probe
from fracture.training.fit import Job


def solve_head(job: Job, model: nn.Module, tick: Callable[[], None]) -> probe.Head:
    """Give the model the head that is best on its frozen features of the training images.

    Args:
        job: what is trained.
        model: its model, which is placed on the job's device.
        tick: called after every batch.
    """
    execution.apply_threads(job.plan)
    train, data = job.indices("train"), job.dataset
    groups = [data.manifest.rows[i].group or f"alone {i}" for i in train]
    found = probe.features(job.plan.place(model), job.plan, job.normalize, data.pixels, train, tick)
    head = probe.solve(found, data.labels[train], groups, len(data.classes), max(1, len(job.scales)))
    probe.start_head(model, head)
    return head
