"""Checking a packaged model: its files against their digest, and its answers in a process of its own."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from fracture.errors import ConfigError
from fracture.tracking import artifacts

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-4  # of logits: the same weights on another processor or another number of threads
CARD = "model_card.md"
DIGEST = "fracture.package_sha256"  # the tag of a version, and of the logged model that it was made from
GONE = "its files are gone"
JUDGED = "judged"  # the folder beside a package with the answers that it was judged by
_NOT_PACKED = {CARD, JUDGED, "registered_model_meta"}  # written beside a package after it was made, by us and MLflow


@dataclass(frozen=True)
class Check:
    """How a packaged model, loaded in a process of its own, answers to the run's probe.

    Attributes:
        ok: whether it loaded without pickles and agrees.
        difference: largest difference of a logit, None where it did not answer.
        reason: what went wrong.
        digest: of all files of the package.
        latency_ms: median time of one image through the model alone, on the CPU of this machine.
        memory_mib: largest resident memory of that process.
    """

    ok: bool
    difference: float | None = None
    reason: str = ""
    digest: str = ""
    latency_ms: float | None = None
    memory_mib: float | None = None


def check(model_uri: str, run_id: str) -> Check:
    """Load a packaged model in a clean process that cannot import the repository nor unpickle, and ask it the probe."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        artifacts.fetch(run_id, ("probe.npz",), place)
        if not (place / "probe.npz").is_file():
            return Check(ok=False, reason="the run has no probe.npz")
        local = artifacts.fetch_model(model_uri, place / "packaged")
        said, reason = _ask(local, str(place / "probe.npz"))
        if said is None:
            return Check(ok=False, reason=reason)
        difference = said["difference"]
        reason = "" if difference <= TOLERANCE else f"its logits differ by {difference:.2g} from the run's"
        return Check(
            not reason, difference, reason, digest_of(local), round(said["latency_ms"], 1), round(said["memory_mib"])
        )


def problem(name: str, version: ModelVersion) -> str:
    """Why a registered version is not what was promoted or does not load in a clean process, empty where it is."""
    if found := changed(name, version):
        return found
    with tempfile.TemporaryDirectory() as folder:
        return _ask(artifacts.fetch_model(f"models:/{name}/{version.version}", Path(folder) / "packaged"), "")[1]


def changed(name: str, version: ModelVersion) -> str:
    """Why the files of a registered version are not those that were promoted, empty where they are."""
    wanted = version.tags.get(DIGEST, "")
    if not wanted:
        return "it was registered by hand: nobody has noted what it held"
    with tempfile.TemporaryDirectory() as folder:
        try:
            place = artifacts.fetch_model(f"models:/{name}/{version.version}", Path(folder) / "packaged")
        except ConfigError as error:
            return f"{GONE}: {error}"
        if not files_of(place):  # what a store of files says of a folder that is not there
            return f"{GONE}: nothing is left of {version.source}"
        found = digest_of(place)
    return "" if found == wanted else f"its files are not those that were promoted ({found[:12]}, {wanted[:12]} wanted)"


def digest_of(folder: Path) -> str:
    """Digest of names and contents of all files of a package."""
    packed = [path for path in files_of(folder) if path.relative_to(folder).parts[0] not in _NOT_PACKED]
    return digest(packed, folder)


def files_of(folder: Path) -> list[Path]:
    """All files below a folder but compiled ones, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def digest(paths: Sequence[Path], root: Path, *more: str) -> str:
    """SHA-256 of texts, and of names below ``root`` and contents of files."""
    found = hashlib.sha256("\n".join(more).encode())
    for path in paths:
        with path.open("rb") as file:
            found.update(f"\n{path.relative_to(root).as_posix()} ".encode())
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _ask(local: Path, probe: str) -> tuple[dict[str, float] | None, str]:
    """What a clean process says of a package, or why it does not."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MLFLOW_RUN_ID")}
    env |= {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ASK, str(local), probe, str(ROOT)],
        cwd=local.parent, env=env, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["it did not load"])[-1].replace(str(local), "its package")
    return dict(json.loads(done.stdout.strip().splitlines()[-1])), ""


_ASK = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "").lower()
                    and "editable" not in repr(finder).lower()]
sys.path[:] = [place for place in sys.path if place != sys.argv[3]]  # what lies below it may be the environment
try:
    import fracture
    raise SystemExit("the repository can be imported: this is no clean process")
except ModuleNotFoundError:
    pass
import json, time
import mlflow, numpy
predictor = mlflow.pyfunc.load_model(sys.argv[1]).unwrap_python_model().predictor
said = {}
if sys.argv[2]:
    with numpy.load(sys.argv[2]) as probe:
        images, logits = probe["images"], probe["logits"]
    said["difference"] = float(numpy.abs(predictor.logits(images) - logits).max())
    times = []
    for _ in range(11):
        began = time.perf_counter()
        predictor.logits(images[:1])
        times.append(time.perf_counter() - began)
    said["latency_ms"] = float(numpy.median(times[1:])) * 1000
try:
    import resource
    unit = 2**20 if sys.platform == "darwin" else 2**10
    said["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
except ImportError:  # Windows
    import psutil
    said["memory_mib"] = psutil.Process().memory_info().peak_wset / 2**20
print(json.dumps(said))
"""
