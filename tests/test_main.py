"""The command line from outside: exit codes, and messages that are enough by themselves."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from fracture import __version__
from fracture.__main__ import Commands
from fracture.errors import (
    ConfigError,
    DataError,
    FractureError,
    GateError,
    Interrupted,
    MemoryLimitError,
)

ROOT = Path(__file__).parents[1]
RAISED = [
    (FractureError("something unforeseen"), 1),
    (ConfigError("lr=abc: not a number"), 2),
    (DataError("a.png: the file is empty"), 3),
    (MemoryLimitError("does not fit into 7.6 GiB"), 4),
    (GateError("calibration: refused"), 5),
    (Interrupted("go on with fracture train --resume 1a2b"), 6),
]


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Every verb fails in this way."""

    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(Commands, "get_command", lambda *_: command)


@pytest.mark.parametrize(("error", "code"), RAISED, ids=[type(error).__name__ for error, _ in RAISED])
def test_each_branch_of_errors_has_its_exit_code(
    cli: Callable[..., int],
    error: FractureError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raising(monkeypatch, error)
    assert cli("train") == code
    shown = capsys.readouterr()
    assert f"{type(error).__name__} (exit code {code})" in shown.err
    assert str(error) in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    "message",
    [
        "manifest.csv:1234: path or label is empty",  # rich knows :1234: as an emoji
        "/data/:x:/[bold]/a.png: [/] the file is empty",
        "a line of " + "very " * 60 + "long text is not broken, so that it can be searched for",
    ],
)
def test_messages_are_shown_as_they_are(
    cli: Callable[..., int], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, DataError(message))
    cli("train")
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_an_interruption(
    cli: Callable[..., int], error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, error)
    assert cli("train") == 6


def test_the_unforeseen_keeps_its_traceback(
    cli: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, ZeroDivisionError("a bug at http://bob:hunter22@host/x"))
    assert cli("train") == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "a bug at http://***@host/x" in shown
    assert "hunter22" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], ["nope", "fracture --help"]),
        (["--nope"], ["--nope", "fracture --help"]),
        (["train", "--learning-rat", "1"], ["--learning-rat", "fracture train --help"]),
        (["train", "--lr"], ["--lr", "fracture train --help"]),
        (["train", "lr=0.1"], ["lr=0.1", "here it is --NAME VALUE"]),
        (["train", "-P", "lr=0.1"], ["-P", "here it is --NAME VALUE"]),
        (["train", "--learning-rate", "0.1"], ["It is called --lr here"]),
        (["train", "--learning_rate=0.1"], ["It is called --lr here"]),
        (
            ["train", "--config", "no.yaml"],
            ["--config no.yaml: cannot be read as YAML or JSON: No such file or"],
        ),
        (["train", "--config", "no.yaml", "--resume", "a1"], ["resume=a1", "leave --like and --config out"]),
        (["train", "--lr", "abc"], ["ConfigError", "lr=abc", "fracture train --help"]),
        (["train", "--lr=2", "--epochs=0"], ["lr=2", "epochs=0"]),
        (["serve", "x", "--seconds=nan"], ["'--seconds': nan is no number."]),
    ],
)
def test_usage_errors_end_in_a_hint_and_code_2(
    cli: Callable[..., int], arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(*arguments) == 2
    shown = capsys.readouterr().err
    for word in words:
        assert word in shown


@pytest.mark.parametrize("margin", ["nan", "inf", "2.0", "-0.5"])
def test_a_margin_that_lets_every_model_win_or_means_nothing_is_refused(
    entry: Callable[..., int], margin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry("registry", "challenge", "--margin", margin) == 2
    assert f"{margin} is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"), [("trian", "train"), ("evalute", "evaluate"), ("prediction", "predict"), ("AUDIT", "audit")]
)
def test_a_mistyped_verb_is_answered_with_the_nearest(
    cli: Callable[..., int], typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(typed) == 2
    assert f"No such command '{typed}'. Did you mean '{meant}'?" in capsys.readouterr().err


def test_values_of_options_are_no_other_spelling(cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("prepare", "here", "--columns", "path=file", "--nope") == 2
    assert "NAME=VALUE" not in capsys.readouterr().err


def test_a_terminal_is_told_that_loading_takes_a_while(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    code = "import click, fracture.__main__ as it; it.run(click.Command('', callback=lambda: exec('import torch')), '')"
    ours, theirs = pytest.importorskip("pty").openpty()
    for screen, said in ((theirs, b"Loading PyTorch and MLflow ..."), (subprocess.PIPE, b"")):
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        done = subprocess.run([sys.executable, "-c", code], stderr=screen, env=environment, check=True)
        assert (os.read(ours, 1000) if done.stderr is None else done.stderr).strip() == said
    os.close(theirs)
    os.close(ours)


def test_help_needs_no_heavy_library() -> None:
    code = """
import sys
from fracture.__main__ import cli
for verb in ([], ["audit"], ["cache"], ["compare"], ["ensemble"], ["evaluate"], ["predict"], ["serve"], ["train"]):
    try:
        cli([*verb, "--help"])
    except SystemExit:
        pass
print(sorted({"torch", "mlflow", "sklearn", "pandas", "cv2", "timm", "matplotlib"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Train one or several backbones." in done.stdout


def test_help_lists_the_verbs(cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "train" in text
    assert "cache" in text
    assert "options" not in text.split("Commands:")[1].split()
    verbs, context = Commands(), click.Context(Commands())
    assert all(isinstance(verbs.get_command(context, verb), click.Command) for verb in verbs.list_commands(context))
    assert "not a medical device" in text


def test_version(cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("--version") == 0
    assert __version__ in capsys.readouterr().out


def test_cache_shows_and_clears(cli: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cache" / "images").mkdir(parents=True)
    (tmp_path / "cache" / "images" / "some.npy").write_bytes(bytes(2**20))
    assert cli("cache") == 0
    assert "1 files, 1.0 MiB" in capsys.readouterr().out
    assert cli("cache", "--clear") == 0
    assert "1.0 MiB freed" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_wrong_values_are_refused_before_anything_heavy_is_imported() -> None:
    code = (
        "import sys; from fracture.__main__ import main\n"
        "sys.argv = ['fracture', 'train', '--lr', 'abc']\n"
        "try: main()\n"
        "except SystemExit as stop: print(stop.code, {'torch', 'timm', 'mlflow'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 set()"


def test_problems_with_data_are_counted_and_listed() -> None:
    error = DataError(["a.png: empty", "b.png: truncated"], "Remove them.")
    assert str(error) == "2 problems with the data:\n- a.png: empty\n- b.png: truncated\nRemove them."
    assert error.problems == ("a.png: empty", "b.png: truncated")
    assert str(DataError("one", "Next.")) == "one\nNext."
