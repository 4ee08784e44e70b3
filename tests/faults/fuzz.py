"""Damaged files for every reader: a seeded mutational fuzzer. Each input is read, or refused in a sentence, in time."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import tarfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fracture.config import defaults, parse
from fracture.data import images
from fracture.data.manifest import read_csv
from fracture.data.prepare import archives, tables
from fracture.data.prepare.config import PrepareConfig
from fracture.errors import FractureError
from fracture.models import checkpoint
from tests.small_model import png, small

LIMIT = 20  # seconds for one input, after which it counts as one that hangs
_WORDS = (b"", b"\0", b"\xff" * 8, b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b"../../x", b"\r\n", b'"',
          b"\xef\xbb\xbf", b"\x7f\xff\xff\xff", b"9" * 400, "骨折".encode(), "\u202e".encode())  # fmt: skip
Read = Callable[[bytes, Path], object]


@dataclass
class Fuzzed:
    """What one reader made of its inputs.

    Attributes:
        reader: its name.
        inputs: how many it was given.
        read: how many of them it read all the same.
        slowest: seconds that the slowest took.
        problems: crashes and hangs, each with the file that keeps its input.
    """

    reader: str
    inputs: int = 0
    read: int = 0
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)


def mutated(seeds: list[bytes], chance: random.Random) -> bytes:
    """One of the seeds, cut, spliced with another, with bytes changed, doubled, removed, or odd words put in."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place, kind = chance.randrange(len(data) + 1), chance.randrange(7)
        length = min(len(data) - place, 1 << chance.randrange(8))
        if kind == 0 and place < len(data):
            data[place] = chance.randrange(256)
        elif kind == 1 and place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = data[place : place + length] * chance.choice((1, 2, 30))
        elif kind == 4:
            data[place : place + length] = chance.choice(_WORDS)
        elif kind == 5:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            data[place : place + length] = other[start : start + length]
        elif chance.random() < 0.3:
            del data[place:]
    return bytes(data[: 1 << 20])


def fuzz(count: int, seed: int, folder: Path, kept: Path) -> Iterator[Fuzzed]:
    """Give each reader its share of damaged inputs.

    Args:
        count: of inputs, over all readers.
        seed: of them.
        folder: a temporary one.
        kept: where inputs are put that crash or hang.

    Yields:
        one result a reader.
    """
    known = readers()
    for name, (seeds, read) in known.items():
        yield in_child(name, seeds, read, max(1, count // len(known)), seed, folder, kept)


def in_child(name: str, seeds: list[bytes], read: Read, count: int, seed: int, folder: Path, kept: Path) -> Fuzzed:
    """Fuzz one reader in a process of its own, so that one that ends the process is seen, too."""
    place, report = folder / name.replace(" ", "-"), folder / "report.json"
    place.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        try:
            report.write_text(json.dumps(vars(_inputs(name, seeds, read, count, seed, place, kept))))
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the parent's stack must not be unwound here
            traceback.print_exc()
            os._exit(70)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        return Fuzzed(name, count, problems=[f"the process ended with {code}: {_keep(place / 'input', kept, name)}"])
    shutil.rmtree(place)
    return Fuzzed(**json.loads(report.read_text()))


def _inputs(name: str, seeds: list[bytes], read: Read, count: int, seed: int, place: Path, kept: Path) -> Fuzzed:
    chance, found = random.Random(f"{name} {seed}"), Fuzzed(name)
    signal.signal(signal.SIGALRM, _hangs)
    for _ in range(count):
        data, began = mutated(seeds, chance), time.monotonic()
        (place / "input").write_bytes(data)
        signal.alarm(LIMIT)
        try:
            found.read += outcome(read, data, place)
        except BaseException as error:  # noqa: BLE001 - everything else is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {str(error)[:200]}"
            found.problems.append(f"{said}: {_keep(place / 'input', kept, name)}")
        signal.alarm(0)
        found.inputs += 1
        found.slowest = max(found.slowest, time.monotonic() - began)
    return found


def outcome(read: Read, data: bytes, place: Path) -> bool:
    """Whether an input was read; False where it was refused as a person is told."""
    try:
        read(data, place)
    except (FractureError, images.ImageError):
        return False
    return True


def _hangs(*_: object) -> None:
    raise TimeoutError(f"longer than {LIMIT} s")


def _keep(data: Path, kept: Path, name: str) -> str:
    kept.mkdir(parents=True, exist_ok=True)
    number = len(list(kept.iterdir()))
    return str(shutil.copy(data, kept / f"{name.replace(' ', '-')}-{number:04d}"))


def readers() -> dict[str, tuple[list[bytes], Read]]:
    """Every reader with inputs that it takes."""
    found: dict[str, tuple[list[bytes], Read]] = {
        "images": (pictures(), lambda data, _: images.decode(data)),
        "manifests": (_tables()[:2], _manifest),
        "tables of prepare": (_tables(), _table),
        "archives": (_archives(), _archive),
        "configuration": (_settings(), _configuration),
        "sidecars": ([small().sidecar.model_dump_json().encode()], _sidecar),
        "checkpoints": ([_weights()], _checkpoint),
        "request bodies": (_bodies(), _Asked()),
    }
    with contextlib.suppress(ImportError):  # without the extra [dicom] there is no reader to fuzz
        found["DICOM"] = (_dicoms(), lambda data, _: images.decode(data))
    return found


def pictures() -> list[bytes]:
    """Small files of every common format."""
    made = []
    pixels = Image.open(io.BytesIO(png(size=24)))
    for form in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"):
        pixels.save(buffer := io.BytesIO(), form)
        made.append(buffer.getvalue())
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(buffer := io.BytesIO(), "TIFF")
    return [*made, buffer.getvalue()]


def _dicoms() -> list[bytes]:
    from tests.data.dicoms import IMPLICIT, bare, dataset_of, make

    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    return [make(pixels), make(pixels, syntax=IMPLICIT), bare(dataset_of(pixels))]


def _tables() -> list[bytes]:
    rows = "path,label,split,group\r\na/0.png,simple_fracture,train,p1\r\na/1.png,no_fracture,test,p2\r\n"
    return [rows.encode(), rows.replace(",", ";").encode("utf-16"), b"image\tclass\n0.png\ta\n1.png\tb\n"]


def _manifest(data: bytes, place: Path) -> None:
    path = place / "manifest.csv"
    path.write_bytes(data)
    read_csv(path)


def _table(data: bytes, place: Path) -> None:
    path = place / "table.csv"
    path.write_bytes(data)
    for name in ("a/0.png", "a/1.png", "0.png", "1.png"):
        if not (place / name).is_file():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(png(size=8))
    tables.read_table(path, PrepareConfig(), "a")  # type: ignore[call-arg]


def _archives() -> list[bytes]:
    made = []
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("a/0.png", "b/1.png", "labels.csv"):
            packed.writestr(name, png(size=8))
    made.append(buffer.getvalue())
    for mode in ("w:gz", "w", "w:xz"):
        with tarfile.open(fileobj=(buffer := io.BytesIO()), mode=mode) as held:  # type: ignore[call-overload]
            for name in ("a/0.png", "b/1.png"):
                member = tarfile.TarInfo(name)
                member.size = len(png(size=8))
                held.addfile(member, io.BytesIO(png(size=8)))
        made.append(buffer.getvalue())
    return made


def _archive(data: bytes, place: Path) -> None:
    path = place / ("a.zip" if data[:2] == b"PK" else "a.tar.gz")
    path.write_bytes(data)
    try:
        archives.extract(path, place / "out")
    finally:
        shutil.rmtree(place / "out", ignore_errors=True)


def _settings() -> list[bytes]:
    values = defaults()
    return ["\n".join(f"{name}: {value}" for name, value in values.items()).encode(), json.dumps(values).encode(),
            b"model: swin\nepochs: 3\nlr: 1e-3\n"]  # fmt: skip


def _configuration(data: bytes, place: Path) -> None:
    from fracture.runs.settings import from_file

    path = place / "settings.yaml"
    path.write_bytes(data)
    parse(from_file(path))


def _sidecar(data: bytes, place: Path) -> None:
    path = place / "model.json"
    path.write_bytes(data)
    checkpoint.build(checkpoint.read_sidecar(path))


def _weights() -> bytes:
    torch.save(dict(small().module.state_dict()), buffer := io.BytesIO())
    return buffer.getvalue()


def _checkpoint(data: bytes, place: Path) -> None:
    checkpoint.write_sidecar(place / "best.pth", small().sidecar)
    (place / "best.pth").write_bytes(data)
    checkpoint.load(place / "best.pth")


def _bodies() -> list[bytes]:
    import base64

    good = base64.b64encode(png(size=24)).decode()
    form = (
        b'--b\r\ncontent-disposition: form-data; name="files"; filename="a"\r\n\r\n' + png(size=24) + b"\r\n--b--\r\n"
    )
    return [
        json.dumps({"images": [good], "heat_map": True}).encode(),
        json.dumps({"images": [good] * 2}).encode(),
        form,
    ]


class _Asked:
    """The application of `fracture serve`, made when it is first asked."""

    client: Any = None

    def __call__(self, data: bytes, _: Path) -> None:
        from fastapi.testclient import TestClient

        from fracture.inference.request import Limits
        from fracture.inference.web import application

        if self.client is None:
            self.client = TestClient(application(small(), Limits(body=2**20, images=4)), raise_server_exceptions=False)
            self.client.__enter__()
        kind = "multipart/form-data; boundary=b" if data[:2] == b"--" else "application/json"
        reply = self.client.post("/predict", content=data, headers={"content-type": kind})
        if reply.status_code >= 500:
            raise RuntimeError(f"{reply.status_code}: {reply.text[:200]}")
        if reply.status_code >= 400:
            raise images.ImageError(reply.text)
