"""Correcting a plan whose prediction was too low, once, while the run goes on."""

from fracture.training.execution import Plan
from fracture.training.learner import Learner


def corrected(plan: Plan, learner: Learner) -> Plan | None:
    """A plan that takes less and gives the same gradient; None where the plan was corrected before or has none.

    The micro-batch is halved. A model with batch normalisation would learn another thing from smaller parts: it goes to
    checkpointing, if it supports it and does not do so already.
    """
    if plan.memory_corrected:
        return None
    if not learner.normalises_batches and plan.micro_batch > 1:
        less = {"micro_batch": -(-plan.micro_batch // 2), "accumulation": 2 * plan.accumulation}
    elif not plan.checkpointing and learner.can_checkpoint:
        less = {"checkpointing": True}
    else:
        return None
    return plan.model_copy(update=less | {"memory_corrected": True})
