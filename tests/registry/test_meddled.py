"""Whatever a person can do in MLflow: each command says it in a sentence, and `verify --repair` fixes it."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mlflow
import pytest

from fracture.__main__ import run as run_command
from fracture.errors import ConfigError, FractureError, GateError
from fracture.monitoring import use as in_use
from fracture.tracking import artifacts, store
from registry import champion, check, evidence, load, origin
from registry.__main__ import cli
from registry.history import COPY
from registry.lines import replay
from registry.model_status import WITHDRAWN
from registry.versions import MODEL, Registry
from tests.registry.conftest import use
from tests.registry.deployed import NAME, Deployed, deploy, enter

Meddle = Callable[[Deployed, mlflow.MlflowClient], object]
Ask = Callable[..., tuple[int, str]]
Loads = Callable[[str], None]
WHOLE = ("3", "2", "1")
READ, MOVE, FILES = "told when read", "refused before gates", "told where files are read"


@dataclass(frozen=True)
class Case:
    """What is done, what `verify` says, and where candidate, champion and previous point once it is repaired.

    Attributes:
        when: READ: `show` and `list` say it and commands go on; MOVE: and they refuse; FILES: `verify` alone looks.
        left: exit code of `verify` after the repair: 5 where a person must decide.
    """

    do: Meddle
    said: str
    after: tuple[str, str, str] = WHOLE
    when: str = MOVE
    left: int = 0


def tag_line(number: str, key: str, value: str) -> Meddle:
    return lambda d, client: client.set_model_version_tag(d.registry.history.name, number, key, value)


def copy_of_line(number: str, to: str) -> Meddle:
    def do(d: Deployed, client: mlflow.MlflowClient) -> None:
        text = client.get_registered_model(NAME).tags[f"{COPY}{number}"]
        client.set_registered_model_tag(NAME, f"{COPY}{to}", text)

    return do


def edit_line(number: str, old: str, new: str) -> Meddle:
    def do(d: Deployed, client: mlflow.MlflowClient) -> None:
        text = client.get_model_version(d.registry.history.name, number).tags["fracture.line"]
        assert old in text
        client.set_model_version_tag(d.registry.history.name, number, "fracture.line", text.replace(old, new))

    return do


def delete(*versions: str) -> Meddle:
    return lambda d, client: [client.delete_model_version(NAME, version) for version in versions]


def delete_lines(*numbers: str) -> Meddle:
    return lambda d, client: [client.delete_model_version(d.registry.history.name, one) for one in numbers]


def without_copies(then: Meddle) -> Meddle:
    """As a history of the version before, which kept no copies."""

    def do(d: Deployed, client: mlflow.MlflowClient) -> None:
        for number in range(1, 6):
            client.delete_registered_model_tag(NAME, f"{COPY}{number}")
        then(d, client)

    return do


def overwrite(name: str) -> Meddle:
    def do(d: Deployed, client: mlflow.MlflowClient) -> None:
        client.log_text(d.runs[1], "of another run", name)

    return do


def files_of(d: Deployed, number: int) -> Path:
    place = mlflow.MlflowClient().get_logged_model(d.models[number]).artifact_location
    return Path(place.removeprefix("file://"))


def delete_runs(d: Deployed, client: mlflow.MlflowClient) -> None:
    client.delete_run(d.runs[0])
    client.delete_run(d.runs[1])


CASES: dict[str, Case] = {
    "candidate deleted": Case(
        delete("3"), "version 3, which the history calls @candidate, was deleted", ("", "2", "1"), READ
    ),
    "champion deleted": Case(
        delete("2"), "version 2, which the history calls @champion, was deleted", ("3", "", "1"), READ
    ),
    "previous deleted": Case(
        delete("1"), "version 1, which the history calls @previous, was deleted", ("3", "2", ""), READ
    ),
    "all versions deleted": Case(
        delete("1", "2", "3"), "version 3, which the history calls @candidate, was deleted", ("", "", ""), READ
    ),
    "model deleted": Case(
        lambda d, client: client.delete_registered_model(NAME),
        "was deleted, with all its versions; the last move of its history is candidate, version 3", ("", "", ""), READ,
    ),
    "last lines of the history deleted": Case(delete_lines("4", "5"), "line 5 of the history was deleted"),
    "a line that is not settled": Case(
        lambda d, client: client.delete_model_version_tag(d.registry.history.name, "5", "fracture.settled"),
        "line 5 of the history (candidate by ", when=FILES,
    ),
    "an alias moved": Case(
        lambda d, client: client.set_registered_model_alias(NAME, "champion", "1"),
        "@champion points to version 1, the history says version 2: it was moved by hand",
    ),
    "an alias deleted": Case(
        lambda d, client: client.delete_registered_model_alias(NAME, "previous"),
        "@previous points to nothing, the history says version 1: it was moved by hand",
    ),
    "champion deleted and the alias moved": Case(
        lambda d, client: [
            client.delete_model_version(NAME, "2"), client.set_registered_model_alias(NAME, "champion", "3")
        ],
        "@champion points to version 3, the history says nothing", ("3", "", "1"),
    ),
    "a tag edited": Case(
        lambda d, client: client.set_model_version_tag(NAME, "2", "fracture.use", "commercial"),
        "version 2: the tag fracture.use was edited by hand: 'commercial', 'research' when promoted",
    ),
    "a digest edited": Case(
        lambda d, client: client.set_model_version_tag(NAME, "2", check.DIGEST, "0" * 64),
        f"version 2: the tag {check.DIGEST} was edited by hand",
    ),
    "a figure edited": Case(
        lambda d, client: client.set_model_version_tag(NAME, "2", "balanced_accuracy", "0.99"),
        "version 2: the tag balanced_accuracy was edited by hand: '0.99', '0.9269' when promoted",
    ),
    "a tag deleted": Case(
        lambda d, client: client.delete_model_version_tag(NAME, "3", "fracture.gates"),
        "version 3: the tag fracture.gates was edited by hand: 'nothing'",
    ),
    "what people said edited": Case(
        lambda d, client: client.set_model_version_tag(NAME, "2", in_use.TAG, "{"),
        f"@champion, version 2: the tag {in_use.TAG} was edited by hand and cannot be read", when=FILES, left=5,
    ),
    "runs deleted": Case(delete_runs, "was deleted; `mlflow runs restore --run-id ", when=FILES),
    "a run overwritten": Case(overwrite("best.pth"), "was overwritten: best.pth is another", when=FILES, left=5),
    "answers overwritten": Case(
        overwrite("predictions_test.csv"), "predictions_test.csv is another", when=FILES, left=5
    ),
    "files of the champion deleted": Case(
        lambda d, client: shutil.rmtree(files_of(d, 1)), "version 2: its files are gone", ("3", "", "1"), FILES
    ),
    "files of the previous deleted": Case(
        lambda d, client: shutil.rmtree(files_of(d, 0)), "version 1: its files are gone", ("3", "2", ""), FILES
    ),
    "files changed": Case(
        lambda d, client: client.log_model_artifact(d.models[1], __file__), "its files are not those that were",
        when=FILES, left=5,
    ),
}  # fmt: skip
LINES: dict[str, tuple[Meddle, str]] = {  # what is done to the history, and what is said of it
    "renamed": (
        lambda d, client: client.rename_registered_model(d.registry.history.name, "other"),
        "line 1 of the history was deleted",
    ),
    "deleted": (
        lambda d, client: client.delete_registered_model(d.registry.history.name), "line 5 of the history was deleted"
    ),
    "first line deleted": (delete_lines("1"), "line 1 of the history was deleted"),
    "champion's line deleted": (delete_lines("2"), "line 2 of the history was deleted"),
    "a line deleted that has no copy": (without_copies(delete_lines("2")), "line 2 of the history was deleted"),
    "the first line deleted that has no copy": (without_copies(delete_lines("1")), "line 1 of the history was deleted"),
    "a line edited": (edit_line("4", '"version": "2"', '"version": "1"'), "line 4 of the history is not what it was"),
    "the last line edited": (
        edit_line("5", '"version": "3"', '"version": "1"'), "line 5 of the history is not what it was"
    ),
    "a reason edited that has no copy": (
        without_copies(edit_line("2", "becomes the first", "is the best")), "line 2 of the history is not what it was"
    ),
    "the seal of a line edited": (tag_line("5", "fracture.seal", "0"), "line 5 of the history is not what it was"),
    "a line made unreadable": (tag_line("2", "fracture.line", "{"), "line 2 of the history cannot be read"),
    "a line's tag deleted": (
        lambda d, client: client.delete_model_version_tag(d.registry.history.name, "4", "fracture.line"),
        "line 4 of the history cannot be read",
    ),
    "a stranger among the lines": (
        lambda d, client: client.create_model_version(d.registry.history.name, f"models:/{d.models[0]}"),
        "line 6 of the history cannot be read",
    ),
}  # fmt: skip
HARMLESS: dict[str, Meddle] = {
    "registered by hand": lambda d, client: client.create_model_version(NAME, f"models:/{d.models[0]}", d.runs[0]),
    "an alias of one's own": lambda d, client: client.set_registered_model_alias(NAME, "trial", "1"),
    "copies deleted": without_copies(lambda d, client: None),
    "the package's entry deleted": lambda d, client: client.delete_logged_model(d.models[2]),
    "a run's files deleted": lambda d, client: shutil.rmtree(client.get_run(d.runs[1]).info.artifact_uri),
    "a copy": lambda d, client: client.copy_model_version(f"models:/{NAME}/2", NAME),
    "a line with the number of another": tag_line("4", "fracture.number", "2"),
    "a line with the number of none": tag_line("5", "fracture.number", "4"),
    "a line with a number that nobody counts to": tag_line("5", "fracture.number", "9" * 12),
    "a line with a number that Python does not read": tag_line("5", "fracture.number", "9" * 4500),
    "a line with an odd number": tag_line("5", "fracture.number", "\u00b2"),
    "a copy with a number that nobody counts to": copy_of_line("5", "999999999"),
    "a description": lambda d, client: client.update_model_version(NAME, "2", "mine"),
}
FURTHER = {"previous deleted", "all versions deleted", "an alias deleted", "a digest edited", "a tag edited",
           "answers overwritten", "files of the previous deleted", "renamed", "first line deleted", "a line edited",
           "champion's line deleted", "a line deleted that has no copy", "a line's tag deleted"}  # fmt: skip


def cases(known: Iterable[str]) -> list[object]:
    return [pytest.param(one, marks=pytest.mark.long if one in FURTHER else ()) for one in known]


@pytest.fixture(scope="module")
def in_a_file(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The three versions in a file of their own."""
    folder = tmp_path_factory.mktemp("deployed") / "store"
    folder.mkdir()
    with connected(f"sqlite:///{folder / 'mlflow.db'}", folder):
        d = deploy(f"sqlite:///{folder / 'mlflow.db'}", folder, tmp_path_factory.mktemp("files"))
        d.keep()
        return d


@contextmanager
def connected(uri: str, folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        use(uri)
        store.connect()
        patch.setattr(store, "connect", lambda: uri)  # once is enough: it looks at the schema each time
        yield
    use(None)


@pytest.fixture
def d(in_a_file: Deployed) -> Iterator[Deployed]:
    """The three versions as they were deployed."""
    with connected(in_a_file.uri, in_a_file.folder):
        in_a_file.bring_back()
        yield in_a_file


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `python -m registry` in this process: its exit code and all that it says, on one line."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        capsys.readouterr()
        code = 0
        try:
            run_command(cli, "python -m registry")
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = " ".join("".join(capsys.readouterr()).split())
        assert "Traceback" not in said
        assert "MlflowException" not in said
        assert code in (0, 2, 3, 5), (arguments, said)
        assert code == 0 or "(exit code" in said
        return code, said

    return run


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    """Packages of plain files load, or do not, for a reason: what a process of its own would say."""

    def answer(reason: str) -> None:
        monkeypatch.setattr(check, "_ask", lambda *_: (None if reason else {}, reason))

    return answer


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs a minute begins with reading the evidence, of which these runs have none; few draws are enough."""

    def read(run: str) -> None:
        raise GateError(f"the gates look at run {run}")

    monkeypatch.setattr(evidence, "read", read)
    monkeypatch.setattr(champion, "compare", partial(champion.compare, rounds=20))


def pointed(registry: Registry) -> tuple[str, ...]:
    real = registry.look().real
    return tuple(real.get(alias, "") for alias in ("candidate", "champion", "previous"))


def is_told(d: Deployed, case: Case, ask: Ask) -> None:
    """Each command says what was done, or does what it can."""
    code, said = ask("verify", "--name", NAME)
    assert code == 5
    assert case.said in said
    for command in ("list", "show") if case.when != FILES else ():
        code, said = ask(command, "--name", NAME)
        assert case.said in said, command
        assert code == 0 or (command, case.after[:2]) == ("show", ("", ""))
    judge = champion._judge
    for command in (["challenge"], ["rollback"], ["promote", d.runs[3]]):
        with pytest.MonkeyPatch.context() as patch:  # it is not to win, so that the next one finds the same
            patch.setattr(champion, "_judge", lambda *given: replace(judge(*given), won=False))
            code, said = ask(*command, "--name", NAME)
        assert code in (2, 5), command
        assert (code == 2 and case.said in said) == (case.when == MOVE) or case.when == READ, (command, said)
        assert case.when == MOVE or command[0] != "promote" or "the gates look at run" in said
    if case.when == READ:
        code, said = ask("predict", __file__, "--model", f"{NAME}@champion")
        assert code in (2, 3)
        assert case.after[1] or "deleted" in said


def is_mended(d: Deployed, case: Case, ask: Ask) -> None:
    """`verify --repair` fixes it and loses nothing that was known; after that the story goes on."""
    known = {line.entry.token for line in d.registry.history.lines()}
    code, said = ask("verify", "--repair", "--name", NAME)
    assert code == case.left, said  # it has looked again
    assert pointed(d.registry) == case.after
    assert known <= {line.entry.token for line in d.registry.history.lines()}


def goes_on(d: Deployed, ask: Ask, previous: str) -> None:
    """Back to the champion before where there is one, and forth again with a new candidate."""
    code, said = ask("rollback", "--name", NAME)
    assert code == (0 if previous else 2), said
    assert not previous or pointed(d.registry)[1:] == (previous, "")
    enter(d.registry, d.runs[3], d.models[3], 4)
    code, said = ask("challenge", "--margin=1", "--name", NAME)
    assert code == 0, said
    assert pointed(d.registry)[1] == pointed(d.registry)[0] != ""


def test_a_rollback_is_proposed_only_where_something_is_previous(d: Deployed, ask: Ask) -> None:
    for version, proposed in (("2", "rollback --name bones` brings @previous back"), ("1", "nothing is @previous")):
        delete(version)(d, mlflow.MlflowClient())
        assert proposed in ask("verify", "--name", NAME)[1]


@pytest.mark.parametrize("case", cases(CASES))
def test_what_a_person_can_do_is_told_and_mended(d: Deployed, case: str, ask: Ask, loads: Loads) -> None:
    known = CASES[case]
    loads("it is not meant to")
    known.do(d, mlflow.MlflowClient())
    is_told(d, known, ask)
    is_mended(d, known, ask)
    if case in ("champion deleted", "model deleted"):
        loads("")
        goes_on(d, ask, known.after[2])


def test_a_challenge_after_a_deletion_says_whom_it_was_against(d: Deployed, ask: Ask) -> None:
    client = mlflow.MlflowClient()
    client.delete_model_version(NAME, "2")
    code, said = ask("challenge", "--margin=1", "--name", NAME)
    assert (code, "against the previous champion on " in said, "against the champion" in said) == (0, True, False)
    for number in ("1", "3"):
        client.delete_model_version(NAME, number)
    enter(d.registry, d.runs[3], d.models[3], 4)
    code, said = ask("challenge", "--name", NAME)
    assert code == 0
    assert "earlier champions were deleted: version 4 becomes champion without a comparison" in said
    assert "becomes champion without a comparison" in d.registry.history.lines()[-1].entry.reason


@pytest.mark.parametrize("case", cases(LINES))
def test_a_history_that_was_meddled_with_is_brought_back(d: Deployed, case: str) -> None:
    do, said = LINES[case]
    before = [line.entry.token for line in d.registry.history.lines()]
    do(d, mlflow.MlflowClient())
    status = d.registry.look()
    assert said in "\n".join(status.by_hand)
    assert not status.open_lines, "nobody is writing it"
    with pytest.raises(ConfigError, match="verify --repair"):
        d.registry.ready()
    d.registry.history.repair()
    assert d.registry.ready().by_hand == []
    assert pointed(d.registry) == WHOLE
    after = [line.entry for line in d.registry.history.lines()]
    for token, entry in zip(before, after, strict=False):
        assert token == entry.token or ("no copy" in case and entry.action == "lost")
    d.registry.move("champion", "3", "2", "the story goes on")
    assert pointed(d.registry) == ("3", "3", "2")


@pytest.mark.long
@pytest.mark.slow
def test_the_same_on_a_server(addresses: Callable[[str], str], tmp_path: Path, ask: Ask, loads: Loads) -> None:
    loads("")
    with connected(addresses("server"), tmp_path):
        d, client = deploy(addresses("server"), tmp_path, tmp_path), mlflow.MlflowClient()
        for case in ("a digest edited", "last lines of the history deleted", "runs deleted", "champion deleted"):
            CASES[case].do(d, client)
        code, said = ask("promote", d.runs[3], "--name", NAME)
        assert (code, "line 5 of the history was deleted" in said) == (2, True)
        assert ask("verify", "--repair", "--name", NAME)[0] == 0
        assert pointed(d.registry) == ("3", "", "1")
        goes_on(d, ask, "1")


@pytest.mark.parametrize("case", HARMLESS)
def test_what_does_no_harm(d: Deployed, case: str, ask: Ask) -> None:
    HARMLESS[case](d, mlflow.MlflowClient())
    code, said = ask("verify", "--name", NAME)
    assert code == 0, said
    assert pointed(d.registry) == WHOLE
    d.registry.ready()
    tags = mlflow.MlflowClient().get_registered_model(NAME).tags
    assert {f"{COPY}{number}" for number in range(1, 6)} <= tags.keys(), "copies are kept again"


def test_copies_of_an_earlier_version_count_under_their_own_name(d: Deployed, ask: Ask) -> None:
    client = mlflow.MlflowClient()
    for name, value in client.get_registered_model(NAME).tags.items():
        if name.startswith(COPY):
            client.set_registered_model_tag(NAME, name.removeprefix("mlflow."), value)
            client.delete_registered_model_tag(NAME, name)
    delete_lines("2")(d, client)
    assert "line 2 of the history was deleted" in ask("verify", "--name", NAME)[1]
    assert ask("verify", "--name", NAME, "--repair")[0] == 0
    assert [line.number for line in d.registry.history.lines()] == [1, 2, 3, 4, 5]


def test_a_renamed_model_takes_its_history_along(d: Deployed, ask: Ask) -> None:
    known = [line.entry.token for line in d.registry.history.lines()]
    mlflow.MlflowClient().rename_registered_model(NAME, "other")
    for command in (["challenge"], ["rollback"], ["verify"], ["verify", "--repair"], ["promote", d.runs[3]], ["show"],
                    ["list"]):  # fmt: skip
        code, said = ask(*command, "--name", NAME)
        assert code == (0 if command == ["list"] else 2)
        assert f"{NAME} was renamed to other: go on with --name other" in said
    assert "renamed to other" in ask("predict", __file__, "--model", f"{NAME}@champion")[1]
    assert ask("verify", "--name", "other")[0] == 5
    assert ask("verify", "--repair", "--name", "other")[0] == 0
    assert pointed(Registry("other")) == WHOLE
    assert [line.entry.token for line in Registry("other").history.lines()] == known


def test_a_model_that_was_deleted_and_made_again_is_another(d: Deployed, ask: Ask) -> None:
    mlflow.MlflowClient().delete_registered_model(NAME)
    assert [line.entry.version for line in d.registry.history.lines()] == ["1", "1", "2", "2", "3"]
    enter(d.registry, d.runs[3], d.models[3], 4)
    assert pointed(d.registry) == ("1", "", ""), "version 1 is not the one that was champion"
    assert ask("challenge", "--name", NAME)[0] == 0
    assert pointed(d.registry) == ("1", "1", "")
    assert "version 2, which the history calls @previous, was deleted" in ask("verify", "--name", NAME)[1]
    assert ask("verify", "--repair", "--name", NAME)[0] == 0
    assert pointed(d.registry) == ("1", "1", "")


def test_what_was_rolled_back_comes_back_by_name_and_reason_only(d: Deployed, ask: Ask, loads: Loads) -> None:
    client, name, bad = mlflow.MlflowClient(), ("--name", NAME), "misses the scaphoid"
    loads("")
    client.delete_model_version(NAME, "3")
    assert ask("verify", "--repair", *name)[0] == 0
    assert ask("rollback", "--reason", bad, *name)[0] == 0
    assert pointed(d.registry) == ("", "1", ""), "it loses every alias"
    assert bad in client.get_model_version(NAME, "2").tags[WITHDRAWN]
    for command in (["rollback"], ["challenge"], ["challenge", "--version", "2"], ["rollback", "--version", "2"],
                    ["promote", d.runs[1]]):  # fmt: skip
        code, said = ask(*command, *name)
        assert code in (2, 5)
        assert f"{bad}; it comes back only by `python -m registry rollback --name {NAME} --version 2" in said
    assert bad in ask("list", *name)[1]
    assert bad in ask("show", *name)[1]
    assert bad in ask("predict", __file__, "--model", f"{NAME}/2")[1]
    with pytest.warns(UserWarning, match=bad), pytest.raises(FractureError):
        load(f"{NAME}/2")
    assert ask("rollback", "--although", "repaired", *name)[0] == 2, "--although goes with --version"
    client.set_registered_model_alias(NAME, "candidate", "2")  # by hand
    assert ask("challenge", *name)[0] == 2
    assert ask("verify", "--repair", *name)[0] == 0
    assert ask("rollback", "--version", "2", "--although", "the scanner was at fault", *name)[0] == 0
    assert pointed(d.registry) == ("", "2", "1")
    assert "the scanner was at fault" in d.registry.history.lines()[-1].entry.reason
    assert WITHDRAWN not in client.get_model_version(NAME, "2").tags
    code, said = ask("rollback", "--version", "9", *name)
    assert (code, "has no version 9" in said) == (2, True)


def test_a_history_of_the_version_before_is_moved_on(d: Deployed, ask: Ask, loads: Loads) -> None:
    """It kept no copies, seals, sources or tags, and its rollback left @candidate and @previous on the bad version."""
    client, after, seal = mlflow.MlflowClient(), 0, ""
    loads("")
    client.delete_model_version(NAME, "3")
    without_copies(lambda d, client: client.delete_registered_model(d.registry.history.name))(d, client)
    client.create_registered_model(d.registry.history.name)
    for number, (action, version, before) in enumerate(
        [("candidate", "1", ""), ("champion", "1", ""), ("candidate", "2", "1"), ("champion", "2", "1"),
         ("rollback", "1", "2")], 1
    ):  # fmt: skip
        old = {"when": "2026-01-01T00:00:00Z", "who": "ada", "action": action, "version": version, "before": before,
               "reason": "worse in use", "gates": "", "token": f"t{number}", "after": after,
               "after_seal": seal}  # fmt: skip
        client.create_model_version(
            d.registry.history.name, f"models:/{NAME}/{version}",
            tags={"fracture.line": json.dumps(old), "fracture.settled": "true"},
        )  # fmt: skip
        after, seal = number, d.registry.history.lines()[-1].entry.seal
    for alias, version in (("candidate", "2"), ("champion", "1"), ("previous", "2")):
        client.set_registered_model_alias(NAME, alias, version)
    for number in ("1", "2"):
        client.delete_model_version_tag(NAME, number, "fracture.made_from")
    status = d.registry.look()
    assert status.by_hand == []
    assert replay(status.lines).aliases == {"candidate": "", "champion": "1", "previous": ""}
    code, said = ask("rollback", "--name", NAME)
    assert code == 2
    assert "version 2 was rolled back by ada, 2026-01-01T00:00:00Z: worse in use" in said
    assert pointed(d.registry) == ("", "1", "")
    assert f"{COPY}5" in client.get_registered_model(NAME).tags
    assert ask("verify", "--name", NAME)[0] == 0


def test_answers_beside_the_package_name_nobody_and_outlive_the_run(d: Deployed, ask: Ask, tmp_path: Path) -> None:
    client = mlflow.MlflowClient()
    text = (files_of(d, 1) / check.JUDGED / "predictions_test.csv").read_text()
    assert "g0" not in text
    assert ".png" not in text
    client.delete_run(d.runs[1])
    with closing(sqlite3.connect(d.folder / "mlflow.db")) as base, base:  # as `mlflow gc` does
        for table in ("tags", "metrics", "latest_metrics", "params", "runs"):
            base.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (d.runs[1],))
    code, said = ask("verify", "--name", NAME)
    assert (code, f"version 2: its run {d.runs[1]} is gone for good" in said) == (0, True)
    assert ask("challenge", "--margin=1", "--name", NAME)[0] == 0
    (files_of(d, 1) / check.JUDGED / "predictions_test.csv").write_text("changed")
    with pytest.raises(GateError, match=r"predictions_test\.csv beside its package was changed"):
        origin.answers(NAME, d.registry.version("2"), tmp_path / "answers")


def test_a_run_that_is_not_what_it_was_is_refused_before_the_gates(d: Deployed, ask: Ask) -> None:
    client = mlflow.MlflowClient()
    overwrite("predictions_test.csv")(d, client)
    code, said = ask("promote", d.runs[1], "--name", NAME)
    assert (code, "version 2 was made from, was overwritten: predictions_test.csv" in said) == (5, True)
    client.delete_run(d.runs[3])
    code, said = ask("promote", d.runs[3], "--name", NAME)
    assert (code, f"`mlflow runs restore --run-id {d.runs[3]}`" in said) == (2, True)


NAMES = ["", " ", "a/b", "a:b", "a@b", "m-history", "M-History", "a'b", 'a"b', "a?b", "a#b", "a%b", "a\\b", "a\nb",
         " a", ".", "..", "x" * 201]  # fmt: skip
VERBS = ["promote", "list", "show", "challenge", "rollback", "verify"]


@pytest.mark.parametrize(("verb", "name"), [*(("promote", one) for one in NAMES), *((one, "a/b") for one in VERBS[1:])])
def test_names_are_looked_at_before_all_else(verb: str, name: str, ask: Ask) -> None:
    before = set(Path.cwd().iterdir())
    code, said = ask(verb, "--name", name)
    assert code == 2
    assert "--name=" in said
    assert set(Path.cwd().iterdir()) == before, "not even a store is made"


@pytest.mark.parametrize(("name", "code"), [("bonse", 2), (MODEL, 0)])
def test_a_name_that_nothing_was_registered_by(name: str, code: int, d: Deployed, ask: Ask) -> None:
    found, said = ask("verify", "--name", name)
    assert (found, "agree" in said) == (code, False), "who types a name means a model that is there"
    assert f"{name}: nothing was ever registered by this name in sqlite" in said


def test_verify_looks_once_and_fetches_no_file_twice(d: Deployed, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, fetched = [], []
    look, fetch = Registry.look, artifacts.fetch
    monkeypatch.setattr(Registry, "look", lambda self: [looks.append(self.name), look(self)][1])
    monkeypatch.setattr(
        artifacts, "fetch", lambda run, names, to: [fetched.append((run, *sorted(names))), fetch(run, names, to)][1]
    )
    code, said = ask("verify", "--name", NAME)
    assert code == 0, said
    assert looks == [NAME]
    assert len(fetched) == len(set(fetched)) == len({run for run, *_ in fetched}) == 3


@pytest.mark.parametrize(
    ("tag", "digits", "shown"), [("6.7000", 1, "6.7"), ("1386.0000", 0, "1,386"), ("", 3, "unknown")]
)
def test_figures_of_a_challenge_have_as_many_digits_as_mean_something(tag: str, digits: int, shown: str) -> None:
    assert champion._rounded(tag, digits) == shown


def test_what_is_no_version(d: Deployed, ask: Ask) -> None:
    for version in ("abc", "0", "-1", "²", "9" * 30, "77"):
        code, said = ask("show", "--name", NAME, "--", version)
        assert code == 2
        assert "version" in said
