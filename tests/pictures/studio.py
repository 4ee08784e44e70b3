"""Where the pictures are taken: a folder with a store of its own, the commands of the documents, and a browser."""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tests import chromium
from tests.mlflow_server import free_port, start_server

ROOT = Path(__file__).resolve().parents[2]
_MLFLOW = {  # what a reader chooses in the MLflow UI, as it remembers that
    "mlflow.workflowType_v1": "machine_learning", "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.assistant.panelOpen_v1": False,
}  # fmt: skip
PATIENCE = 600.0  # seconds that a page or a server may take


class Studio:
    """Runs are remembered in ``folder``, so that a picture can be taken again without training again."""

    def __init__(self, folder: Path) -> None:
        """Open it; nothing is run yet."""
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._known = self.folder / "runs.json"
        self._browser: Any = None
        self._profile = tempfile.TemporaryDirectory()

    def close(self) -> None:
        """End the browser."""
        if self._browser is not None:
            self._browser.quit()
        self._profile.cleanup()

    def command(self, *words: str, expected: int = 0, **more: str) -> str:
        """What ``python -m WORDS`` prints in the folder.

        Raises:
            RuntimeError: it ended with another exit code than ``expected``.
        """
        print("  python -m", *words, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=self.folder, env=self._environment() | more,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        said = done.stdout.decode()
        if done.returncode != expected:
            raise RuntimeError(f"{' '.join(words)}: exit code {done.returncode}\n{said}")
        return said

    def run(self, *words: str) -> str:
        """Id of the MLflow run that a command leaves, which is not run again where it was before."""
        key, known = " ".join(words), json.loads(self._known.read_text()) if self._known.is_file() else {}
        if key not in known:
            found = re.findall(r"\b[0-9a-f]{32}\b", self.command(*words))
            known[key] = found[-1]
            self._known.write_text(json.dumps(known, indent=1))
        return str(known[key])

    def artifact(self, run: str, name: str) -> Path:
        """A file that a run has left."""
        return next(self.folder.glob(f"mlruns/*/{run}/artifacts/{name}"))

    def experiment(self, run: str) -> str:
        """Id of the experiment of a run."""
        return next(self.folder.glob(f"mlruns/*/{run}")).parent.name

    @contextmanager
    def mlflow(self) -> Iterator[str]:
        """The MLflow server on the store; its address. The browser shows model training, without the assistant."""
        server, address = start_server(self.folder)
        try:
            self.visit(address, 1280, 860)
            for key, value in _MLFLOW.items():
                self.browser.execute_script("localStorage.setItem(...arguments)", key, json.dumps(value))
            yield address
        finally:
            server.terminate()
            server.wait()

    @contextmanager
    def serving(self, run: str) -> Iterator[str]:
        """`fracture serve` on a run; its address."""
        port = free_port()
        command = [sys.executable, "-m", "fracture", "serve", run, "--port", str(port)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(command, cwd=self.folder, env=self._environment(), **quiet)  # type: ignore[call-overload]
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: _answers(f"{address}/healthz"), f"{address}/healthz")
            yield address
        finally:
            server.terminate()
            server.wait()

    @property
    def browser(self) -> Any:
        """Started when it is first needed."""
        if self._browser is None:
            self._browser = chromium.start(Path(self._profile.name), "--hide-scrollbars")
        return self._browser

    def visit(self, address: str, width: int, height: int) -> None:
        """Open a page in a window of a desktop of ``width`` x ``height`` pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.browser.get(address)

    def wait_for(self, script: str) -> Any:
        """What a script of the page returns, once that is something."""
        return until(lambda: self.browser.execute_script(f"return {script}"), script)

    def shot(self, top: int = 0, height: int | None = None) -> Image.Image:
        """A picture of the page from ``top`` on, as wide as the window and as high as that or ``height``."""
        view = self.browser.execute_script("return [innerWidth, innerHeight]")
        clip = {"x": 0, "y": top, "width": view[0], "height": height or view[1], "scale": 1}
        options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        data = self.browser.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
        return Image.open(BytesIO(base64.b64decode(data))).convert("RGB")

    def _environment(self) -> dict[str, str]:
        """That of this process, with this checkout, this store and no model hub."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return os.environ | {
            "PYTHONPATH": path,
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder / 'mlflow.db'}",
            "HF_HUB_OFFLINE": "1",
        }


def until(found: Callable[[], Any], what: str) -> Any:
    """What ``found`` returns, once that is something.

    Raises:
        TimeoutError: it was nothing for `PATIENCE` seconds.
    """
    end = time.monotonic() + PATIENCE
    while not (result := found()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.2)
    return result


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True
