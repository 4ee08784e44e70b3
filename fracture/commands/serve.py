"""`fracture serve`: put a model behind HTTP, with one page for people."""

import contextlib
import socket
import tempfile
from pathlib import Path

import click

from fracture.errors import ConfigError
from fracture.progress import Terminal


@click.command()
@click.argument("target", metavar="RUN|MODEL")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets every machine ask")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--max-mib", default=32, show_default=True, type=click.IntRange(1), help="of one request")
@click.option("--max-images", default=16, show_default=True, type=click.IntRange(1), help="of one request")
@click.option("--queue", default=64, show_default=True, type=click.IntRange(1), help="requests that may wait, else 429")
def command(target: str, host: str, port: int, max_mib: int, max_images: int, queue: int) -> None:
    """Serve the model of a run, a .pth or models:/NAME@ALIAS: POST /predict, /healthz, /metrics and a web page."""
    import uvicorn  # heavy imports only once the values are right

    from fracture.inference.web import Limits, application
    from fracture.runs import answering
    from fracture.tracking import store

    store.connect()
    terminal = Terminal()
    with tempfile.TemporaryDirectory() as folder:
        predictor = answering.find(target, Path(folder))
    if predictor.sidecar.synthetic:
        terminal.warn("this model was trained on rendered images: its answers have no medical meaning at all")
    with _listen(host, port) as listener:
        place = f"http://{host}:{listener.getsockname()[1]}"
        terminal.say(f"{predictor.sidecar.model} answers on {place} (research software, not a medical device)")
        app = application(predictor, Limits(max_mib * 2**20, max_images, queue))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=10, server_header=False)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn hands the signal on once it has stopped
            uvicorn.Server(config).run(sockets=[listener])
    terminal.say("Stopped")


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"--host={host} --port={port}: {error.strerror}; --port=0 takes a free one") from error
