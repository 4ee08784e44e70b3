"""What leakage is worth: the same model on the same images, split after augmentation and split by original.

    python -m tests.benchmarks.leakage --data DIR --weights FILE --json leakage.json --figure docs/images/leakage.png

DIR holds one folder a class, FILE ImageNet weights of timm's tf_efficientnet_lite0. A leaky set is built as careless
sets are: six augmented copies of every image, then a random split of all files. The audit judges it, ``prepare
--regroup`` fixes it, and a logistic regression on frozen features is trained on both.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fracture.data.audit.audit import audit_manifest, open_data, write_report
from fracture.data.audit.report import AuditReport
from fracture.data.cache import default_folder
from fracture.data.images import decode, letterbox
from fracture.data.manifest import SPLITS, Manifest
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.prepare import prepare
from fracture.data.split import assign
from tests.planted import SINGLE_CHANGES, planted_copy

COPIES = {
    "flip_vertical": "flip_vertical",
    "flip_horizontal": "flip_horizontal",
    "rotate": "rotate_3_to_15",
    "bright": "brightness_30",
    "contrast": "contrast_30",
    "crop": "crop_random_10",
}  # suffix of the file name, and what is done to the image
SHARES = (0.70, 0.15, 0.15)
MODEL, SIDE = "tf_efficientnet_lite0", 224


def main() -> None:
    """Measure, print, and write the figures as JSON and as a picture."""
    options = _options()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        files = write_copies(options.data, Path(work) / "all")
        features = extract(files, options.weights)
        result = {
            "setting": _setting(files),
            "leaky": _audited(_random_split(files, Path(work) / "named", named=True), "the leaky set", options.report),
            "renamed": _audited(_random_split(files, Path(work) / "renamed", named=False), "the same, renamed", None),
            "repaired": _mended(files, Path(work) / "renamed", Path(work) / "repaired.csv"),
            "accuracy": accuracies(files, features, options.repeats),
        }
    result["seconds"] = round(time.perf_counter() - started)
    print(f"{result['seconds']} s in all")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.figure:
        draw(result, options.figure)


def write_copies(data: Path, root: Path) -> list[Path]:
    """Write every image and its six augmented copies as ``CLASS/<n>_<class>_<operation>.jpg``; the paths in order."""
    paths = []
    for number, source in enumerate(
        sorted(p for p in data.glob("*/*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    ):
        grey = decode(source.read_bytes())
        rng = np.random.default_rng(number)
        folder = root / source.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, change in {"": "", **COPIES}.items():
            pixels = planted_copy(grey, change, rng) if change in SINGLE_CHANGES else grey
            name = f"{number}_{source.parent.name.replace('_', ' ').title()}{'_' if suffix else ''}{suffix}.jpg"
            Image.fromarray(pixels).save(folder / name, quality=90)
            paths.append(folder / name)
    return paths


def extract(files: list[Path], weights: Path) -> npt.NDArray[np.float32]:
    """Frozen features [files, 1280] of the whole image, padded to a square."""
    model = timm.create_model(
        MODEL, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": str(weights)}
    ).eval()
    mean, std = (torch.tensor(model.pretrained_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    batches = []
    with torch.inference_mode():
        for start in range(0, len(files), 32):
            squares = np.stack([letterbox(decode(p.read_bytes()), SIDE) for p in files[start : start + 32]])
            pixels = torch.from_numpy(squares)[:, None].float().div(255).expand(-1, 3, -1, -1)
            batches.append(model((pixels - mean) / std).numpy())
    return np.concatenate(batches)


def accuracies(files: list[Path], features: npt.NDArray[np.float32], repeats: int) -> list[dict[str, Any]]:
    """Accuracy on the test split, leaky and honest, over several random splits."""
    labels = np.array([path.parent.name for path in files])
    originals = np.array([path.name.split("_")[0] for path in files])
    fractures = np.flatnonzero(labels != "no_fracture")
    results = []
    for title, rows in (("three classes", np.arange(len(files))), ("comminuted or simple", fractures)):
        for kind in ("leaky", "honest"):
            scores = []
            for seed in range(repeats):
                groups = originals[rows] if kind == "honest" else np.arange(len(rows))
                parts = np.array(assign(labels[rows].tolist(), groups.tolist(), SHARES, seed))
                train, test = rows[parts == 0], rows[parts == 2]
                model = make_pipeline(
                    StandardScaler(), LogisticRegression(C=0.1, max_iter=200, class_weight="balanced")
                )
                said = model.fit(features[train], labels[train]).predict(features[test])
                scores.append((accuracy_score(labels[test], said), balanced_accuracy_score(labels[test], said)))
            accuracy, balanced = (_mean([score[k] for score in scores]) for k in (0, 1))
            results.append({"task": title, "split": kind, "n_test": len(test), "repeats": repeats, **{
                "accuracy": accuracy, "balanced_accuracy": balanced, "chance": 1 / len(set(labels[rows].tolist())),
            }})  # fmt: skip
            print(f"{title:>22} {kind:>7}: accuracy {_shown(accuracy)}, balanced {_shown(balanced)}, n = {len(test)}")
    return results


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw what the leaky split reports, what is true, and what is told from the source."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.5), width_ratios=(1.15, 1), layout="constrained")
    tones = {"leaky": "#b3261e", "honest": "#1f7a45"}
    for k, one in enumerate(result["accuracy"]):
        mean, low, high = one["balanced_accuracy"]
        place = k // 2 + (0.19 if one["split"] == "honest" else -0.19)
        left.bar(place, mean, 0.34, color=tones[one["split"]], label=f"{one['split']} split" if k < 2 else None)
        left.errorbar(place, mean, [[mean - low], [high - mean]], color="black", capsize=3, linewidth=1)
        left.text(place, high + 0.015, f"{mean:.2f}", ha="center", fontsize=9)
        left.hlines(one["chance"], k // 2 - 0.42, k // 2 + 0.42, "grey", "dotted", linewidth=1)
    left.set(
        xticks=(0, 1),
        xticklabels=("three classes", "comminuted or simple"),
        ylim=(0, 1.12),
        ylabel="balanced accuracy on test",
    )
    left.set_title("Same model, same images, another split", fontsize=10, loc="left")
    left.legend(frameon=False, fontsize=8, loc="upper right")
    pairs = result["leaky"]["probe"]["pairs"][::-1]
    for k, pair in enumerate(pairs):
        tone = "#9a6700" if pair["confounded"] else "#2f5d9b"
        right.plot([pair["low"], pair["high"]], [k, k], color=tone, linewidth=3, solid_capstyle="round")
        right.plot(pair["auc"], k, "o", color=tone)
    right.axvline(result["leaky"]["probe"]["threshold"], color="black", linewidth=1)
    right.axvline(0.5, color="grey", linestyle="dotted", linewidth=1)
    names = [f"{p['first']}\nor {p['second']}".replace("_", " ") for p in pairs]
    right.set(yticks=range(len(pairs)), yticklabels=names, xlim=(0.45, 1.02), ylim=(-0.6, len(pairs) - 0.4))
    right.tick_params(axis="y", labelsize=8)
    right.set_xlabel("AUC without looking at the bone (line: threshold)")
    right.set_title("Class told from size, format, border", fontsize=10, loc="left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _random_split(files: list[Path], root: Path, named: bool) -> Path:
    """Split all files at random, as if they were independent, into split folders of links."""
    parts = assign([path.parent.name for path in files], list(range(len(files))), SHARES, seed=0)
    order = np.random.default_rng(0).permutation(len(files))
    for path, part, number in zip(files, parts, order, strict=True):
        folder = root / SPLITS[part] / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / (path.name if named else f"scan{number:07d}.jpg")).hardlink_to(path)
    return root


def _audited(root: Path, name: str, report_folder: Path | None) -> dict[str, Any]:
    return _told(_report(open_data(root, default_folder())), name, report_folder)


def _mended(files: list[Path], root: Path, out: Path) -> dict[str, Any]:
    """Regroup the set whose names tell nothing, audit what comes out, and compare it with the truth."""
    manifest = prepare([root], PrepareConfig(), out, regroup=True).manifest
    told = _told(_report(manifest), "after prepare --regroup", None)
    order = np.random.default_rng(0).permutation(len(files))
    originals = {f"scan{number:07d}": path.name.split("_")[0] for path, number in zip(files, order, strict=True)}
    held: dict[str, set[str]] = {}
    for row in manifest.rows:
        held.setdefault(originals[row.path.stem], set()).add(row.split)
    train = {original for original, splits in held.items() if "train" in splits}
    test = [originals[row.path.stem] for row in manifest.rows if row.split == "test"]
    told["truth"] = {
        "originals": len(held), "torn": sum(len(splits) > 1 for splits in held.values()), "test_images": len(test),
        "related": sum(original in train for original in test), "groups": len({row.group for row in manifest.rows}),
    }  # fmt: skip
    print(f"  in truth: {told['truth']}")
    return told


def _report(manifest: Manifest) -> AuditReport:
    return audit_manifest(manifest, default_folder())


def _told(report: AuditReport, name: str, folder: Path | None) -> dict[str, Any]:
    print(f"{name}: {len(report.images)} images, {report.verdict}")
    for check in report.checks:
        print(f"  {check.number} {check.status:>8}  {check.title}: {check.sentence}")
    if folder:
        write_report(report, folder / "audit.json")
    told = report.to_dict()
    told["checks"] = [{k: v for k, v in check.items() if k != "evidence"} for check in told["checks"]]
    return {k: told[k] for k in ("images", "verdict", "leaks", "confounded", "checks", "probe", "inflation")}


def _setting(files: list[Path]) -> dict[str, Any]:
    return {
        "originals": len(files) // (len(COPIES) + 1), "copies_each": len(COPIES), "images": len(files), "model": MODEL,
        "image_size": SIDE, "classifier": "logistic regression, C = 0.1, class-balanced, on standardised features",
        "timm": timm.__version__, "torch": torch.__version__, "processor": platform.processor() or platform.machine(),
    }  # fmt: skip


def _mean(values: list[float]) -> tuple[float, float, float]:
    """Mean over the splits, and the 2.5th and 97.5th percentile of the splits."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(np.mean(values)), float(low), float(high)


def _shown(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of classes, one of them no_fracture")
    parser.add_argument("--weights", type=Path, required=True, help=f"ImageNet weights of {MODEL}")
    parser.add_argument("--repeats", type=int, default=10, help="random splits of each kind")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--figure", type=Path, help="draw them")
    parser.add_argument("--report", type=Path, help="folder for the audit's page of the leaky set")
    return parser.parse_args()


if __name__ == "__main__":
    main()
