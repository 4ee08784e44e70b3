"""`fracture memory`."""

import json
from collections.abc import Callable

import pytest

TINY = ("--model", "test_convnext", "--image-size", "64", "--largest", "8")


def test_the_table_marks_what_is_over_the_limit(
    cli: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert cli("memory", *TINY, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["tables"][0]["rows"]
    assert [(row["batch_size"], row["precision"]) for row in rows] == [
        (size, precision) for size in (1, 2, 4, 8) for precision in ("fp32", "bf16")
    ]
    peaks = sorted(row["process_gib"] for row in rows)
    assert peaks[0] < peaks[-1]
    limit = (peaks[-1] + peaks[-2]) / 2
    assert cli("memory", *TINY, "--memory-limit-gib", f"{limit:.6f}") == 0
    assert capsys.readouterr().out.count(" *,") == 1


def test_batch_norm_is_told(cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("memory", "--model", "test_efficientnet", "--image-size", "64", "--largest", "1") == 0
    assert "batch normalisation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "convnextv3"), "no such backbone"),
        (("--largest", "x"), "largest=x: "),
        (("--memory-limit-gib", "-1"), "memory_limit_gib=-1: "),
        (("--model", "swin", "--image-size", "20"), "image_size=20: "),
        (("--model", "resnetv2_50", "--device", "tpu"), "device=tpu: "),
    ],
)
def test_wrong_values_are_explained(
    arguments: tuple[str, ...], message: str, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("memory", *arguments) == 2
    assert message in capsys.readouterr().err
