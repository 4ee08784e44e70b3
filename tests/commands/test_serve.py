"""`fracture serve` as typed."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from fracture.models import backbones, checkpoint


def test_a_port_that_is_taken_is_said(
    cli: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = backbones.find("test_resnet")
    model = backbones.build(backbone, 2)
    sidecar = checkpoint.Sidecar(
        model=backbone.name, classes=("fracture", "no_fracture"), image_size=64, mean=backbone.mean, std=backbone.std,
        parameters=1, weights_sha256=checkpoint.weights_sha256(model.state_dict()), epoch=1, synthetic=True, license="",
    )  # fmt: skip
    checkpoint.save(tmp_path / "best.pth", model.state_dict(), sidecar)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cli("serve", str(tmp_path / "best.pth"), "--port", str(taken.getsockname()[1])) == 2
    assert "takes a free one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "host", "said"),
    [
        (None, "0.0.0.0", "Give --token FILE"),
        (None, "::", "Give --token FILE"),
        ("short", "0.0.0.0", "holds 5 characters"),
        ("two words of a secret", "127.0.0.1", "one word of 16"),
        ("", "127.0.0.1", "openssl rand"),
    ],
)
def test_other_machines_need_a_token(
    cli: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    host: str,
    said: str,
) -> None:
    arguments = []
    if content is not None:
        (tmp_path / "token").write_text(content)
        arguments = ["--token", str(tmp_path / "token")]
    assert cli("serve", "models:/none@champion", "--port=0", f"--host={host}", *arguments) == 2
    assert said in capsys.readouterr().err
