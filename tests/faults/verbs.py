"""The verbs that are killed: what each needs, and what its result is, as plain values that can be compared."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

Result = dict[str, object]
_QUICK = ("--model", "test_resnet", "--weights", "none", "--image-size", "32", "--batch-size", "8", "--threads", "1",
          "--memory-format", "contiguous", "--precision", "fp32", "--audit", "off", "--data", "images")  # fmt: skip
_TRAIN = ("fracture", "train", *_QUICK, "--lr", "0.003")
TUNE = ("--model", "test_resnet", "--weights", "none", "--image-size", "32", "--threads", "1", "--audit", "off",
         "--memory-format", "contiguous", "--data", "images", "--epochs", "1", "--batch-low", "8", "--batch-high", "8",
         "--select-metric", "val_loss")  # fmt: skip
_JUDGED = ("--threads", "1", "--precision", "fp32", "--batch-size", "8")
CHAMPION = "models:/fracture-classifier@champion"
_WAIVED = ("--thresholds", "demo", "--waive", "audit,confounded", "--reason", "a test", "--by", "a test")
PROMOTE_FIRST = ("registry", "promote", "{first}", *_WAIVED)
PROMOTE = ("registry", "promote", "{second}", *_WAIVED)
PROMOTE_THIRD = ("registry", "promote", "{third}", *_WAIVED)
CHALLENGE = ("registry", "challenge", "--margin", "1")
FIRST = (*_TRAIN, "--epochs", "2", "--seed", "1")
SECOND = (*_TRAIN, "--epochs", "2", "--seed", "2")
THIRD = (*_TRAIN, "--epochs", "2", "--seed", "3")


@dataclass(frozen=True)
class Verb:
    """A command that is killed.

    Attributes:
        words: the command; ``{second}`` is the second trained run.
        world: the state of the folder that it begins in.
        result: what it leaves.
        weight: how often it is killed, relative to the others.
        twice: whether it may be given again when it was done already; one that moves an alias may not.
    """

    words: tuple[str, ...]
    world: str
    result: Callable[[Path], Result]
    weight: int
    twice: bool = True


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(*patterns: str) -> Callable[[Path], Result]:
    """Digests of files below the folder."""
    return lambda root: {
        str(path.relative_to(root)): _digest(path)
        for pattern in patterns
        for path in sorted(root.glob(pattern))
        if path.is_file()
    }


def runs(root: Path) -> Result:
    """Every metric of every finished run, with all its rows: a row twice is a difference; not those of the machine."""
    found: dict[str, list[float]] = {}
    with closing(sqlite3.connect(root / "mlflow.db")) as db:
        names = db.execute(
            "SELECT run_uuid, name FROM runs WHERE status = 'FINISHED' AND lifecycle_stage = 'active' ORDER BY name"
        ).fetchall()
        for run, name in names:
            rows = db.execute(
                "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND key NOT LIKE 'system/%' "
                "AND key != 'cost/checkpoint_mib' ORDER BY value",  # torch writes the file's temporary name into it
                (run,),
            )
            for key, step, value in rows:
                found.setdefault(f"{name}: {key} at {step}", []).append(value)
    return {"finished": [name for _, name in names], **found}


def evaluated(root: Path) -> Result:
    """Metrics and files of an evaluation."""
    return runs(root) | files("evaluation/**/*.csv", "evaluation/**/*.json")(root)


def aliases(root: Path) -> Result:
    """Which run's model each alias is of; a version registered by a command that was killed is no difference."""
    with closing(sqlite3.connect(root / "mlflow.db")) as db:
        rows = db.execute(
            "SELECT a.alias, r.name FROM registered_model_aliases a JOIN model_versions v "
            "ON v.name = a.name AND v.version = a.version JOIN runs r ON r.run_uuid = v.run_id "
            "WHERE a.name = 'fracture-classifier'"
        )
        return dict(rows.fetchall())


def tuned(root: Path) -> Result:
    """That the study is finished, with as many trials told as it was to have, whichever values they tried."""
    with closing(sqlite3.connect(root / "mlflow.db")) as db:
        studies = db.execute("SELECT COUNT(*) FROM runs WHERE status = 'FINISHED' AND name LIKE 'tune %'").fetchone()
        told = db.execute(
            "SELECT COUNT(*) FROM tags WHERE key = 'fracture.trial_state' AND value IN ('COMPLETE', 'PRUNED')"
        ).fetchone()
    return {"finished studies": studies[0], "trials told": told[0]}


def emptied(root: Path) -> Result:
    """How many files the cache holds."""
    return {"files in the cache": sum(path.is_file() for path in (root / "cache").rglob("*"))}


VERBS = {
    "train": Verb((*_TRAIN, "--epochs", "3"), "trained", runs, 16),
    "train, empty cache": Verb((*_TRAIN, "--epochs", "1"), "uncached", runs, 6),
    "linear probe": Verb((*_TRAIN, "--head", "probe", "--epochs", "1"), "trained", runs, 10),
    "folds": Verb((*_TRAIN, "--epochs", "1", "--folds", "3"), "trained", runs, 4),
    "tune, 3 workers": Verb(
        ("tuning", *TUNE, "--trials", "3", "--workers", "3"),
        "trained", tuned, 1,
    ),
    "cache --clear": Verb(("fracture", "cache", "--clear"), "trained", emptied, 8),
    "prepare": Verb(("fracture", "prepare", "images", "--out", "made.csv"), "trained", files("made*"), 12),
    "audit": Verb(("fracture", "audit", "images", "--out", "audit.json"), "trained", files("audit.json"), 10),
    "evaluate": Verb(("fracture", "evaluate", "{second}", "--data", "images", *_JUDGED), "trained", evaluated, 8),
    "predict": Verb(("fracture", "predict", "{second}", "images", "--out", "out.csv"), "trained", files("out.csv"), 12),
    "promote": Verb(PROMOTE, "champion", aliases, 8),
    "challenge": Verb(CHALLENGE, "candidate", aliases, 8, twice=False),
    "rollback": Verb(("registry", "rollback", "--reason", "a test"), "deployed", aliases, 6, twice=False),
    "export": Verb(
        ("registry", "export", "--format", "pt2", "--out", "exported"), "champion", files("exported/*"), 4
    ),
}  # fmt: skip
