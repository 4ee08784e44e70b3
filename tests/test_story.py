"""docs/story.sh, as a reader would run it, with models that take seconds."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.slow
def test_the_script_in_the_docs_tells_the_whole_story(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    if not shutil.which("bash") or not shutil.which("curl"):
        pytest.skip("the script needs bash and curl")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "FIRST": "--model=test_efficientnet", "SECOND": "--model=test_convnext",
        "DATA": str(make_images(tmp_path / "images", 12)),
        "MORE": "--epochs=1 --image-size=32 --batch-size=8 --threads=1 --weights=none --precision=fp32 "
                "--memory-format=contiguous --audit=warn",
        "WAIVE": "--waive confounded,audit --reason brightness-tells-the-classes --by test",
        "MARGIN": "1", "PORT": str(port), "PYTHONPATH": str(ROOT), "PLACE": str(tmp_path / "place"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(ROOT / "docs" / "story.sh")], cwd=tmp_path, env=os.environ | settings, capture_output=True,
        text=True, check=False, timeout=580,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for words in ('"ok": true', '"decision": ', "version 1 is @candidate", "version 2 is @candidate",
                  "@previous", "aliases, history, versions", "worse in use", "report.html"):  # fmt: skip
        assert words in said, said
    assert [line for line in said.splitlines() if "== " in line][-1].endswith("Open this\x1b[0m")
    assert said.count(" of 8: ") == 8
    assert "site-packages" not in said, "no warning of another's code"
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("images", "cache")] == ["place"]
    assert "Stopped" in (tmp_path / "place" / "serve.log").read_text()
