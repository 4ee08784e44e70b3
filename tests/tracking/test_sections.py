"""Names of metrics as MLflow is told them, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.evidence import CLASS_METRICS, EPOCH_METRICS, METRICS
from fracture.evidence.names import SINGLE_METRICS
from fracture.tracking.sections import plain, sectioned

NAMES = [*EPOCH_METRICS, *SINGLE_METRICS, *(f"test_{name}" for name in METRICS), *(f"best_{n}" for n in EPOCH_METRICS)]


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_a_run_has_a_section_and_comes_back(name: str) -> None:
    assert sectioned(name).partition("/")[0] in {"train", "val", "test", "best", "cost"}
    assert plain(sectioned(name)) == name
    assert plain(name) == name, "as earlier versions have logged it"


@given(st.sampled_from([*CLASS_METRICS]), st.text("abc_/ -", min_size=1))
def test_any_class_comes_back(metric: str, label: str) -> None:
    assert plain(sectioned(f"test_{metric}{label}")) == f"test_{metric}{label}"


def test_what_is_not_ours_stays() -> None:
    for name in ("system/cpu_utilization_percentage", "other", "solved/other"):
        assert (plain(name), sectioned(name)) == (name, name)
