"""The images of a run as its data sets in the store."""

from collections.abc import Iterable

from fracture.data.manifest import SPLITS, Manifest
from fracture.tracking.run import TrackedRun


def log_inputs(run: TrackedRun, manifest: Manifest, splits: Iterable[str] = SPLITS) -> None:
    """Log each split of a manifest, with a digest of its contents."""
    for split in splits:
        rows = [
            {
                "path": manifest.relative(row),
                "label": row.label,
                "group": row.group,
                "source": row.source,
                "sha256": row.sha256,
            }
            for row in manifest.rows
            if row.split == split
        ]
        run.dataset(rows, name=manifest.name, source=str(manifest.root), digest=manifest.digest(split), split=split)
