"""The audit as one HTML page that needs nothing else: findings, tables, and the image pairs side by side."""

import base64
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from fracture.data.audit.report import AuditReport, Check, Evidence
from fracture.data.images import ImageError, decode
from fracture.files import page_template

PAIRS_SHOWN = 24  # a check; the JSON holds all
_SIDE = 190  # pixels of a picture's longer side
_TEMPLATE = Path(__file__).with_name("page.html")


def render(report: AuditReport) -> str:
    """The page, as HTML. Images are read again for their thumbnails; one that cannot be read is left blank."""
    shown = [_shown(report, check) for check in report.checks]
    return page_template(_TEMPLATE, alone="{} alone".format).render(report=report, checks=shown, odd=_odd(report))


def _shown(report: AuditReport, check: Check) -> dict[str, Any]:
    """A check with its pairs ready to be drawn."""
    pairs = [_pair(report, evidence) for evidence in _choose(check.evidence)]
    return {"check": check, "pairs": pairs, "more": len(check.evidence) - len(pairs)}


def _choose(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The first pairs, but some of every kind, so that those to review are not crowded out."""
    kinds = list(dict.fromkeys(e.kind for e in evidence))
    share = PAIRS_SHOWN // max(1, len(kinds))
    first = [e for kind in kinds for e in [e for e in evidence if e.kind == kind][:share]]
    rest = [e for e in evidence if e not in first]
    return first + rest[: PAIRS_SHOWN - len(first)]


def _pair(report: AuditReport, evidence: Evidence) -> dict[str, Any]:
    return {"evidence": evidence, "sides": [_side(report, i) for i in (evidence.first, evidence.second)]}


def _side(report: AuditReport, number: int) -> dict[str, Any]:
    image = report.images[number]
    return {"image": image, "name": Path(image.path).name, "picture": _picture(image.path)}


def _odd(report: AuditReport) -> list[dict[str, str]]:
    """Blank, tiny and outlying images, a few of each."""
    found = report.distributions
    kinds = (("blank", found.blank), ("tiny", found.tiny), ("odd size", found.outliers))
    return [
        {"kind": kind, "name": Path(path).name, "path": path, "picture": _picture(path)}
        for kind, paths in kinds
        for path in paths[:8]
    ]


@lru_cache(maxsize=256)
def _picture(path: str) -> str:
    """A small grey JPEG as a data URL, empty where the image cannot be read."""
    try:
        small = Pillow.fromarray(decode(Path(path).read_bytes()))
    except (OSError, ImageError):
        return ""
    small.thumbnail((_SIDE, _SIDE), reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=65)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
