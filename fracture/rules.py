"""What is wanted of a model's decisions, as users write it: the rule of the operating point and the error allowed."""

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator

Kind = Literal["youden", "sensitivity", "specificity", "cost"]
FORMS = "youden, sensitivity:SHARE, specificity:SHARE (as sensitivity:0.95), cost:FN/FP (as cost:10/1)"
YOUDEN, REFER_ERROR, SET_COVERAGE = "youden", 0.05, 0.9  # what is wanted where nobody says


class Rule(NamedTuple):
    """How the operating point is chosen.

    Attributes:
        kind: what is looked at.
        value: the share wanted; of ``cost`` what a missed fracture costs in false alarms; 0 of ``youden``.
    """

    kind: Kind
    value: float


class Wanted(NamedTuple):
    """What is wanted of a model's decisions.

    Attributes:
        operating: the rule of the operating point, in one of `FORMS`.
        refer_error: the share of wrong answers allowed among the images that no person looks at.
        set_coverage: the share of the images of each class whose set of possible classes is to hold it.
    """

    operating: str = YOUDEN
    refer_error: float = REFER_ERROR
    set_coverage: float = SET_COVERAGE


USUAL = Wanted()


def parse_rule(text: str) -> Rule:
    """The rule that a text in one of `FORMS` names.

    Raises:
        ValueError: it is none.
    """
    kind, _, value = text.strip().partition(":")
    if kind == "youden" and not value:
        return Rule("youden", 0.0)
    if kind in ("sensitivity", "specificity"):
        share = _number(value)
        if not 0 < share < 1:
            raise ValueError(f"{kind} must lie between 0 and 1, neither included. Allowed: {FORMS}")
        return Rule(kind, share)  # type: ignore[arg-type]
    if kind == "cost":
        missed, _, alarm = value.partition("/")
        costs = _number(missed), _number(alarm)
        if min(costs) <= 0:
            raise ValueError(f"both costs must be above 0. Allowed: {FORMS}")
        return Rule("cost", costs[0] / costs[1])
    raise ValueError(f"no such rule. Allowed: {FORMS}")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text or 'nothing'} where a number belongs. Allowed: {FORMS}")
    return value


def checked_rule(text: str) -> str:
    """The text itself, where `parse_rule` takes it."""
    parse_rule(text)
    return text.strip()


RuleText = Annotated[str, AfterValidator(checked_rule)]
