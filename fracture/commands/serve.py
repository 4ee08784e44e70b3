"""`fracture serve`: serve a model over HTTP, with a web page."""

import contextlib
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fracture.commands.options import Float, Int, log_options
from fracture.errors import ConfigError
from fracture.progress import Terminal


@click.command()
@click.argument("target", metavar="RUN|MODEL")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="address to listen on; any other than this machine's own needs --token",
)
@click.option(
    "--port", default=8000, show_default=True, type=Int(0, 65535), help="port to listen on; 0 takes a free one"
)
@click.option(
    "--token", type=click.Path(path_type=Path), help="file with a token that each request must send as a bearer token"
)
@click.option("--max-mib", default=32, show_default=True, type=Int(1), help="largest size of a request, in MiB")
@click.option("--max-images", default=16, show_default=True, type=Int(1), help="most images in a request")
@click.option(
    "--max-megapixels",
    default=200,
    show_default=True,
    type=Int(1),
    help="most megapixels in a request, all images together",
)
@click.option(
    "--queue", default=64, show_default=True, type=Int(1), help="most requests that wait; further ones get status 429"
)
@click.option(
    "--seconds",
    default=30.0,
    show_default=True,
    type=Float(1),
    help="time limit for sending a request, and for decoding its images",
)
@click.option("--follow", is_flag=True, help="load the new version whenever models:/NAME@ALIAS is moved")
@click.option(
    "--follow-seconds", default=10.0, show_default=True, type=Float(0.1), help="seconds between two checks of the alias"
)  # fmt: skip
@log_options
def command(
    target: str, host: str, port: int, token: Path | None, max_mib: int, max_images: int, max_megapixels: int,
    queue: int, seconds: float, follow: bool, follow_seconds: float, log: str, **kept: Any,
) -> None:  # fmt: skip
    """Serve the model of a run, a .pth or models:/NAME@ALIAS: POST /predict, /docs and a web page."""
    terminal = Terminal()
    if follow and not (target.startswith("models:/") and "@" in target):
        raise ConfigError(f"--follow: {target} is not an alias, so it never changes; follow one: models:/NAME@champion")
    with _listen(host, port) as listener:
        terminal.say(f"Loading {target} ...")
        from fracture.inference.about import served  # heavy imports only once the values are right
        from fracture.inference.request import Limits
        from fracture.inference.web import application
        from fracture.runs import answer_log, answering, following
        from fracture.tracking import store

        secret = _token(host, token)
        store.connect()
        with tempfile.TemporaryDirectory() as folder:
            predictor, about = answering.served(target, Path(folder))
        sidecar = predictor.sidecar
        if sidecar.synthetic:
            terminal.warn("this model was trained on rendered images: its answers have no medical meaning at all")
        limits = Limits(max_mib * 2**20, max_images, max_megapixels * 1_000_000, queue, seconds)
        with answer_log.open_log(log, predictor, served(about, sidecar), terminal, **kept) as answers:
            app = application(predictor, limits, about, token=secret, docs=not secret, say=terminal.say, log=answers)
            named = f"{about.title or target} ({sidecar.model}, weights {sidecar.weights_sha256[:12]})"
            terminal.say(f"{named} answers on {_address(host, listener)} (research software, not a medical device)")
            with following.follow(target if follow else "", about, app.state.service, terminal, follow_seconds):
                _serve(app, listener, seconds)
    terminal.say("Stopped")


def _serve(app: Callable[..., Any], listener: socket.socket, seconds: float) -> None:
    import uvicorn

    from fracture.inference.access import HeaderTimeoutProtocol

    protocol = type("HeaderTimeout", (HeaderTimeoutProtocol,), {"seconds": seconds})
    config = uvicorn.Config(app, http=protocol, log_level="warning", server_header=False, timeout_graceful_shutdown=10)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn hands the signal on once it has stopped
        uvicorn.Server(config).run(sockets=[listener])


def _token(host: str, path: Path | None) -> str:
    from fracture.inference.access import is_loopback, read_token

    if path is not None:
        return read_token(path)
    if is_loopback(host):
        return ""
    raise ConfigError(
        f"--host={host}: every machine that reaches this one could use it. Give --token FILE, whose content each "
        "request then has to send, or listen on 127.0.0.1 behind a server that checks who it is"
    )


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"--host={host} --port={port}: {error.strerror}; --port=0 takes a free one") from error
