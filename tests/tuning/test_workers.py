"""Many workers at one study on a real PostgreSQL, with all runs under one parent."""

import io
from collections.abc import Callable
from pathlib import Path

import mlflow
import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from rich.console import Console

from fracture.config import absolute
from fracture.errors import ConfigError
from fracture.progress import Terminal
from fracture.tracking import experiment
from tests.forked import Command
from tests.postgres import new_database
from tests.tuning.test_storage import turns_are_exclusive
from tests.tuning.test_tune import FAST
from tuning import record, storage
from tuning import tune as story
from tuning.config import parse_tuning
from tuning.join import join

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TRIALS = 5


def tune(given: dict[str, str], **values: object) -> None:
    given = given | {name: str(value) for name, value in values.items()}
    tuning, config = parse_tuning(given)
    story.tune(tuning, absolute(config), given, Terminal(Console(file=io.StringIO())))


def test_workers_share_a_study(
    forked: Callable[..., Command],
    store_root: Path,
    tmp_path: Path,
    images: Path,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    url = new_database(postgres)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(storage.VARIABLE, url)
    given = FAST | {"data": str(images), "epochs": "1"}
    tune(given, trials=1)  # so that there is one to join
    with storage.closing(RDBStorage(storage.address("auto"))) as kept:
        (name,) = optuna.get_all_study_names(kept)
    words = ("tuning", "worker", "--study", name, "--trials", str(TRIALS))
    workers = [forked(words, store_root, tmp_path / f"{number}.log") for number in range(2)]
    for one in workers:
        assert one.wait() == 0, one.said
        assert "audit=off" not in one.said, "the first process has audited the data"
    tune(given, trials=TRIALS + 2, workers=2)  # two more, one by a real `python -m tuning worker`, and the end

    with storage.closing(RDBStorage(storage.address("auto"))) as kept:
        own = optuna.load_study(study_name=name, storage=kept)
        trials, found = own.trials, record.read(own)
    finished = [one for one in trials if one.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(finished) == len(trials) == TRIALS + 2  # not one more than asked for
    assert len({str(one.params) for one in finished}) == TRIALS + 2
    assert len({one.user_attrs["worker"]["pid"] for one in finished}) > 2  # processes
    assert found is not None
    parent = mlflow.MlflowClient().get_run(found.run)
    assert parent.info.status == "FINISHED"
    runs = mlflow.MlflowClient().search_runs(
        [experiment.current()], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    assert sorted(int(run.data.tags["fracture.trial"]) for run in runs) == list(range(TRIALS + 2))
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}

    other = Terminal(Console(file=io.StringIO()))
    with pytest.raises(ConfigError, match=f"is not in this storage. Allowed: {name}"):
        join("another", storage.address("auto"), {}, "x", other)
    with pytest.raises(ConfigError, match="Bring the same ones here"):
        join(name, storage.address("auto"), {"data": "demo"}, "x", other)


def test_turns_on_a_server(postgres: str, tmp_path: Path) -> None:
    turns_are_exclusive(storage.address(new_database(postgres)), tmp_path / "log")
