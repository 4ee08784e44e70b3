"""The log of a command's answers, opened for it and closed behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fracture.data.cache import folder_of
from fracture.data.inspection.inspect import secret_key
from fracture.errors import ConfigError, FractureError
from fracture.files import expanded
from fracture.inference.log import Served
from fracture.inference.predictor import Predictor
from fracture.monitoring.log import AnswerLog, Policy, place_of
from fracture.privacy import without_secrets
from fracture.progress import Terminal


@contextmanager
def open_log(
    address: str,
    predictor: Predictor,
    served: Served,
    terminal: Terminal,
    keep_days: int | None,
    keep_images: Path | None,
    log_key: Path | None,
) -> Iterator[AnswerLog | None]:
    """A log of what the predictor answers, None without an address; what is missing from it is said at the end.

    Args:
        address: ``DIR``, ``sqlite:///FILE`` or ``postgresql://...``; empty for none.
        predictor: carries from now on what the log keeps of images.
        served: what its answers are logged as.
        terminal: shows what is missing.
        keep_days: see `Policy`.
        keep_images: likewise.
        log_key: file of the key of digests; None for the one that `fracture prepare` uses.

    Raises:
        ConfigError: the place cannot be used, or something is to be kept without a log.
    """
    if not address:
        if keep_days or keep_images or log_key:
            raise ConfigError("--keep-days, --keep-images and --log-key need --log DIR|sqlite:///...|postgresql://...")
        yield None
        return
    key = secret_key(log_key or folder_of("auto") / "patient.key")
    place = place_of(address, make=True)
    images = expanded(keep_images) if keep_images else None
    if images:
        images.mkdir(parents=True, exist_ok=True)
    predictor.watched = True
    log = AnswerLog(place, served, Policy(key, keep_days, images), terminal.warn)
    terminal.say(f"Answers are logged in {without_secrets(address)}")
    try:
        yield log
    finally:
        if missing := log.close():
            terminal.warn(missing)


def check(log: AnswerLog) -> None:
    """See that all answers of a log that was closed are in it.

    Raises:
        FractureError: some are not.
    """
    if missing := log.close():
        raise FractureError(f"{missing}. The table of answers is complete; once the log can be written, predict again.")
