"""What is wanted of decisions, as text."""

import pytest

from fracture.config import TrainConfig, parse
from fracture.errors import ConfigError
from fracture.rules import Rule, parse_rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("youden", Rule("youden", 0)),
        (" sensitivity:0.95 ", Rule("sensitivity", 0.95)),
        ("specificity:.9", Rule("specificity", 0.9)),
        ("cost:10/1", Rule("cost", 10)),
        ("cost:1/4", Rule("cost", 0.25)),
    ],
)
def test_rules_are_read(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert TrainConfig.model_validate({"operating": text}).operating == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "", "best", "youden:0.5", "sensitivity", "sensitivity:", "sensitivity:95", "sensitivity:1", "sensitivity:0",
        "sensitivity:95%", "specificity:nan", "specificity:-0.1", "cost", "cost:5", "cost:5/", "cost:/1", "cost:0/1",
        "cost:1/0", "cost:-1/1", "cost:inf/1", "cost:1/2/3", "Youden", "sensitivity=0.9",
    ],
)  # fmt: skip
def test_others_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="Allowed: youden, sensitivity:SHARE"):
        parse_rule(text)
    with pytest.raises(ConfigError, match=r"operating=.*Allowed: youden"):
        parse({"operating": text})


@pytest.mark.parametrize("error", ["0", "0.5", "-0.1", "5", "nan", "five"])
def test_errors_out_of_range_are_refused(error: str) -> None:
    with pytest.raises(ConfigError, match=f"refer_error={error}"):
        parse({"refer_error": error})
