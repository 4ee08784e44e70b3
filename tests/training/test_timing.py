"""What is timed: the faster memory format, and torch.compile where it is wanted and works."""

import copy
import json
from pathlib import Path

import pytest
import torch

from fracture.errors import Interrupted
from fracture.training import timing
from fracture.training.compiled import Compiled
from fracture.training.execution import Plan
from fracture.training.timing import Timings, with_compile, with_memory_format, with_precision


@pytest.fixture
def tiny() -> torch.nn.Module:
    """Timed in milliseconds."""
    layers = (torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3))
    return torch.nn.Sequential(*layers)


@pytest.fixture
def said() -> list[str]:
    """What the user is told of timings."""
    return []


@pytest.fixture
def kept(tmp_path: Path, said: list[str]) -> Timings:
    return Timings(tmp_path, said.append)


@pytest.mark.parametrize(
    ("contiguous", "channels_last", "faster"),
    [(1.0, 0.5, "channels_last"), (1.0, 0.97, "contiguous"), (1.0, 1.0, "contiguous"), (0.5, 1.0, "contiguous")],
)
def test_the_faster_memory_format_is_chosen_and_remembered(
    contiguous: float, channels_last: float, faster: str, plan: Plan, tiny: torch.nn.Module, kept: Timings,
    tmp_path: Path,
) -> None:  # fmt: skip
    place = tmp_path / "timings.json"
    with_memory_format(plan, tiny, "m", kept)
    (key,) = json.loads(place.read_text())
    place.write_text(json.dumps({key: {"contiguous": contiguous, "channels_last": channels_last, "loss": 1.0}}))
    chosen = with_memory_format(plan, tiny, "m", kept)
    assert chosen.memory_format == faster
    assert f"{contiguous / channels_last:.2f}" in chosen.reasons["memory_format"]
    assert chosen.reasons.keys() == plan.reasons.keys() | {"memory_format"}


def test_each_setting_is_timed_for_itself_and_said_once(
    plan: Plan, tiny: torch.nn.Module, kept: Timings, said: list[str], tmp_path: Path
) -> None:
    settings = [
        (plan, "m"),
        (plan, "m"),
        (plan, "another"),
        (plan.model_copy(update={"precision": "bf16"}), "m"),
        (plan.model_copy(update={"image_size": 96}), "m"),
        (plan.model_copy(update={"threads": 2}), "m"),
    ]
    for other, name in settings:
        with_memory_format(other, tiny, name, kept)
    assert len(json.loads((tmp_path / "timings.json").read_text())) == len(settings) - 1
    assert len(said) == 1


def test_a_signal_is_heard_before_each_timed_step(plan: Plan, tiny: torch.nn.Module, tmp_path: Path) -> None:
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 3:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        with_memory_format(plan, tiny, "m", Timings(tmp_path, print, beat))
    assert not (tmp_path / "timings.json").exists(), "half a timing is none"
    with_memory_format(plan, tiny, "m", Timings(tmp_path, print, beat))
    assert len(beats) == 3 + timing.TIMED_STEPS


@pytest.mark.parametrize(
    ("first", "left"),
    [
        ({"contiguous": 9.0, "channels_last": 2.0}, ["channels_last"]),
        ({"contiguous": 5.0, "channels_last": 2.0}, ["contiguous", "channels_last"]),
        ({"contiguous": 0.9, "channels_last": 0.01}, ["contiguous", "channels_last"]),  # the first of all is slow
        ({}, []),
    ],
)
def test_what_is_hopeless_is_timed_once(first: dict[str, float], left: list[str]) -> None:
    assert timing._worth_a_round(first) == left


@pytest.mark.parametrize("text", ["", "{", "[]", "[1]", "3", "null", '"text"'])
def test_damaged_timings_are_taken_again(
    text: str, plan: Plan, tiny: torch.nn.Module, kept: Timings, tmp_path: Path
) -> None:
    (tmp_path / "timings.json").write_text(text)
    chosen = with_memory_format(plan, tiny, "m", kept)
    assert chosen.memory_format in ("contiguous", "channels_last")
    assert len(json.loads((tmp_path / "timings.json").read_text())) == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_timing_leaves_the_model_as_it_was(
    precision: str, plan: Plan, model: torch.nn.Module, kept: Timings, tmp_path: Path
) -> None:
    before = copy.deepcopy(model.state_dict())
    training = model.training
    with_memory_format(plan.model_copy(update={"precision": precision}), model, "m", kept)
    assert model.training is training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.get_parameter("conv_stem.weight").is_contiguous()
    (seconds,) = json.loads((tmp_path / "timings.json").read_text()).values()
    assert seconds.keys() == {"contiguous", "channels_last", "loss"}
    assert all(value > 0 for value in seconds.values())


@pytest.mark.parametrize(
    ("half", "full", "any_format", "precision", "told"),
    [
        ((1.0, 1.0), (1.0, 1.0), True, "bf16", "1.00 of its speed"),
        ((1.0, 1.0), (0.95, 0.95), True, "bf16", "1.05 of its speed"),  # not clearly
        ((1.0, 1.0), (2.0, 0.5), True, "fp32", "2.00 of the speed of bf16"),
        ((1.0, 1.0), (2.0, 0.5), False, "bf16", "0.50 of its speed"),  # contiguous was asked for
        ((0.1, 0.1, 1.5), (1.0, 1.0, 1.0), True, "fp32", "another loss here, 1.5, not 1"),
        ((0.1, 0.1, 1.01), (1.0, 1.0, 1.0), True, "bf16", "0.10 of its speed"),
        ((0.1, 0.1, 0.002), (1.0, 1.0, 0.004), True, "bf16", "0.10 of its speed"),  # next to nothing, both
    ],
)
def test_the_precision_is_what_runs_fastest_with_the_same_loss(
    half: tuple[float, ...], full: tuple[float, ...], any_format: bool, precision: str, told: str, plan: Plan,
    tiny: torch.nn.Module, kept: Timings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def timed(_: torch.nn.Module, tried: Plan, _beat: object) -> dict[str, float]:
        contiguous, channels_last, *loss = half if tried.precision == "bf16" else full
        return {"contiguous": contiguous, "channels_last": channels_last, "loss": loss[0] if loss else 1.0}

    monkeypatch.setattr(timing, "_time_formats", timed)
    plan = plan.model_copy(update={"precision": "bf16", "reasons": {"precision": "has bf16 in hardware"}})
    chosen = with_precision(plan, tiny, "m", kept, any_format)
    assert chosen.precision == precision
    assert told in chosen.reasons["precision"]
    assert len(json.loads((tmp_path / "timings.json").read_text())) == 2


def timings(**changes: float) -> dict[str, float]:
    return {"eager": 1.0, "compiled": 0.5, "loss": 1.0, "loss_compiled": 1.0} | changes


@pytest.mark.parametrize(
    ("wanted", "found", "compiled", "told"),
    [
        (True, timings(), True, "2.00 of the speed"),
        (True, timings(compiled=2.0), True, "0.50 of the speed"),
        ("auto", timings(), True, "2.00 of the speed"),
        ("auto", timings(compiled=0.97), False, "1.03 of the speed"),
        ("auto", timings(loss_compiled=1.03), False, "another loss, 1.03, not 1"),
        (True, timings(compiled=0.0), False, "failed, so steps run without it"),
    ],
)
def test_compiling_is_chosen_where_it_pays_and_gives_the_same_loss(
    wanted: bool | str, found: dict[str, float], compiled: bool, told: str, plan: Plan, tiny: torch.nn.Module,
    kept: Timings, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(timing, "_try_compile", lambda *_: found)
    monkeypatch.setattr(timing, "_not_tried", lambda _: "")
    monkeypatch.setattr(timing, "_step_seconds", lambda *_: 1.0)
    chosen = with_compile(plan, tiny, "m", kept, wanted, steps=100_000)
    assert chosen.compiled is compiled
    assert told in chosen.reasons["compile"]


def test_a_short_run_is_not_compiled(
    plan: Plan, tiny: torch.nn.Module, kept: Timings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_not_tried", lambda _: "")
    monkeypatch.setattr(timing, "_time_eager", lambda *_: pytest.fail("a whole batch takes long on a processor"))
    chosen = with_compile(plan, tiny, "m", kept, "auto", steps=10)
    assert not chosen.compiled
    assert "too short" in chosen.reasons["compile"]


def test_a_short_run_is_not_compiled_after_a_long_one(
    plan: Plan, tiny: torch.nn.Module, kept: Timings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_not_tried", lambda _: "")
    monkeypatch.setattr(timing, "_try_compile", lambda *_: timings())
    monkeypatch.setattr(timing, "_step_seconds", lambda *_: 1.0)
    assert with_compile(plan, tiny, "m", kept, "auto", steps=9301).compiled
    monkeypatch.setattr(timing, "_step_seconds", lambda *_: pytest.fail("it is remembered"))
    assert not with_compile(plan, tiny, "m", kept, "auto", steps=9299).compiled
    assert with_compile(plan, tiny, "m", kept, "auto", steps=9301).compiled


def test_a_compiler_that_failed_is_tried_again(
    plan: Plan, tiny: torch.nn.Module, kept: Timings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in (timings(compiled=0.0), timings()):
        monkeypatch.setattr(timing, "_try_compile", lambda *_, found=found: found)
        chosen = with_compile(plan, tiny, "m", kept, True, 1)
        assert chosen.compiled is (found["compiled"] > 0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"device": "cpu"}, ""),
        ({"device": "cpu", "checkpointing": True}, "checkpointing"),
        ({"device": "cuda", "checkpointing": True}, "checkpointing"),
        ({"device": "cuda", "memory_limit_gib": 7.6, "memory_gib": 7.0}, "more than 90%"),
        ({"device": "cuda", "memory_limit_gib": 7.6, "memory_gib": 6.0}, ""),
    ],
)
def test_when_compiling_is_not_tried_by_itself(changes: dict[str, object], told: str, plan: Plan) -> None:
    why = timing._not_tried(plan.model_copy(update=changes))
    assert told in why
    assert bool(told) == bool(why)


def test_without_a_compiler_it_is_not_tried_on_a_processor(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    assert "no C++ compiler" in timing._not_tried(plan)
    assert not timing._not_tried(plan.model_copy(update={"device": "cuda"}))


def test_compile_false_is_kept(plan: Plan, tiny: torch.nn.Module, kept: Timings) -> None:
    assert with_compile(plan, tiny, "m", kept, False, 100_000) == plan


def test_what_cannot_be_compiled_runs_as_it_is(tiny: torch.nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    forward, inputs = Compiled(tiny, 2), torch.rand(2, 3, 8, 8)

    def broken(_: torch.Tensor) -> torch.Tensor:
        raise ImportError("no compiler\nat all")

    forward._compiled = broken
    for _ in range(2):
        assert torch.equal(forward(inputs), tiny(inputs))
    assert forward.problem == "ImportError: no compiler"
    assert caplog.text.count("torch.compile failed") == 1


def test_a_lack_of_memory_is_no_failure_of_the_compiler(tiny: torch.nn.Module) -> None:
    forward = Compiled(tiny, 2)

    def full(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA out of memory")

    forward._compiled = full
    with pytest.raises(RuntimeError, match="out of memory"):
        forward(torch.rand(2, 3, 8, 8))
    assert not forward.problem


@pytest.mark.long
def test_a_compiled_step_gives_the_same_and_leaves_names_alone(
    plan: Plan, tiny: torch.nn.Module, kept: Timings
) -> None:
    chosen = with_compile(plan.model_copy(update={"micro_batch": 2}), tiny, "m", kept, True, 1)
    assert chosen.compiled, chosen.reasons
    forward = Compiled(tiny, 2)
    for images in (2, 3):  # of its size, and of another
        inputs = torch.rand(images, 3, plan.image_size, plan.image_size)
        assert torch.allclose(forward(inputs), tiny(inputs), atol=1e-5)
    assert not forward.problem
    assert not [name for name in tiny.state_dict() if "_orig_mod" in name]
