"""Passwords, tokens, login names and home folders: nowhere but where they belong."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture import privacy
from tests.mlflow_server import start_server

PASSWORD = "hunter2-Q9x"
LOGIN = "alice.winter"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://bob:s3cret@host:5000/x is down", "http://***@host:5000/x is down"),
        ("postgresql+psycopg://u:p:w@db/name", "postgresql+psycopg://***@db/name"),
        ("https://ghp_token@github.com/a/b.git", "https://***@github.com/a/b.git"),
        ("http://u:p@ss@host/x", "http://***@host/x"),
        ("('http://u:pw@host', 'http://u:pw@other')", "('http://***@host', 'http://***@other')"),
        ("host=db password=geheim user=u", "host=db password=*** user=u"),
        ("s3://b/k?X-Amz-Signature=ab12&x=1", "s3://b/k?X-Amz-Signature=***&x=1"),
        ("blob?sv=1&sig=abc%3D", "blob?sv=1&sig=***"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "{'Authorization': 'Basic ***'}"),
        ("Authorization: Bearer abc.def-ghi_j", "Authorization: Bearer ***"),
        ('{"password": "geheim"}', '{"password": "***"}'),
        ("a photo at images/@2x.png, mail a@b.org", "a photo at images/@2x.png, mail a@b.org"),
        ("http://host/x/@y", "http://host/x/@y"),
        ("postgresql://u:a/b?c#d e@db/name", "postgresql://***@db/name"),
        ("postgresql://db:5432/name, mail a@b.org", "postgresql://db:5432/name, mail a@b.org"),
        ("postgresql:///n?user=u&password=a/b;c,d&x=1", "postgresql:///n?user=u&password=***&x=1"),
        ("basic settings, bearer of news", "basic settings, bearer of news"),
        ("password: ask for one", "password: ask for one"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert privacy.without_secrets(text) == shown


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1), st.text(min_size=0, max_size=30))
def test_no_password_of_an_address_is_shown(password: str, around: str) -> None:
    secret = quote(password, safe="")
    shown = privacy.without_secrets(f"{around} http://user:{secret}@host/ {around}")
    assert f"user:{secret}@" not in shown
    assert privacy.without_secrets(shown) == shown, "hiding twice is hiding once"


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_secrets_of_the_environment_are_hidden_wherever_they_stand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "p@ss/word")
    assert privacy.without_secrets("a p@ss/word, p%40ss%2Fword.") == "a ***, ***."


def test_the_password_of_an_address_is_hidden_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://u:{PASSWORD}@host")
    assert privacy.without_secrets(f"login failed: {PASSWORD}") == "login failed: ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/al/x-rays/a.png", "~/x-rays/a.png"),
        ("file:///home/al/x", "file://~/x"),
        ('"/home/al"', '"~"'),
        ("/home/al: empty", "~: empty"),
        ("/home/albert/x", "/home/albert/x"),
        ("/mnt/home/al/x", "/mnt/home/al/x"),
    ],
)
def test_the_home_folder_is_a_tilde(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    assert privacy.shareable(text) == shown


def test_files_and_folders_are_copied_only_where_they_have_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    (tmp_path / "clean.json").write_text("{}")
    (tmp_path / "weights.pth").write_bytes(b"/home/al/x")
    (tmp_path / "told").mkdir()
    (tmp_path / "told" / "a.log").write_text("/home/al/x")
    (tmp_path / "told" / "b.png").write_bytes(b"\xff")
    (tmp_path / "copies").mkdir()
    for name in ("clean.json", "weights.pth"):
        assert privacy.shareable_file(tmp_path / name, tmp_path / "copies") == tmp_path / name
    copy = privacy.shareable_file(tmp_path / "told", tmp_path / "copies")
    assert (copy / "a.log").read_text() == "~/x"
    assert (copy / "b.png").read_bytes() == b"\xff"
    assert (tmp_path / "told" / "a.log").read_text() == "/home/al/x", "the user's own stays as it is"


def test_who_names_nobody_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", LOGIN)
    assert LOGIN not in privacy.who()
    assert privacy.who() == privacy.who()
    monkeypatch.setenv("FRACTURE_USER", "Dr Winter")
    assert privacy.who() == "Dr Winter"


VERBS = """
import sys
import fracture.__main__, registry.__main__, tuning.__main__
from fracture.__main__ import cli, run
from registry.__main__ import cli as registry_cli
from tuning.__main__ import cli as tuning_cli

data, password = sys.argv[1:]
QUICK = ["--data", data, "--model", "test_resnet", "--image-size", "32", "--epochs", "1", "--weights", "none",
         "--precision", "fp32", "--memory-format", "contiguous", "--threads", "1",
         "--audit", "warn", "--recipe", "seed"]
def do(command, name, *words):
    sys.argv = [name, *words]
    try:
        run(command, name)
    except SystemExit as stop:
        print("CODE", words[0], stop.code or 0, flush=True)
    else:
        print("CODE", words[0], 0, flush=True)

do(cli, "fracture", "train", *QUICK)
import mlflow
run_id = mlflow.search_runs(output_format="list")[0].info.run_id
do(cli, "fracture", "train", *QUICK, "--healthy", "cat")
do(cli, "fracture", "train", "--data", data + "-gone")
do(cli, "fracture", "train", "--resume", "nothing")
do(cli, "fracture", "audit", data)
do(cli, "fracture", "compare")
do(cli, "fracture", "evaluate", run_id, "--data", data)
do(registry_cli, "registry", "promote", run_id, "--use", "research", "--thresholds", "demo",
   "--waive", "confounded", "--reason", "a test", "--by", "nobody")
do(registry_cli, "registry", "list")
do(registry_cli, "registry", "verify")
do(tuning_cli, "tuning", "worker", "--study", "none", "--storage", "postgresql://u:%s@127.0.0.1:9/x" % password)
"""


@pytest.mark.long
@pytest.mark.slow
def test_no_verb_tells_a_password_a_login_name_or_the_home_folder(
    tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    home, kept = tmp_path / "home" / LOGIN, tmp_path / "server"
    project = home / "project"
    project.mkdir(parents=True)
    kept.mkdir()
    (project / "MLproject").touch()
    make_images(home / "x-rays", 20)
    server, address = start_server(kept)
    try:
        done = subprocess.run(
            [sys.executable, "-c", VERBS, str(home / "x-rays"), PASSWORD],
            cwd=project,
            env=os.environ
            | {"HOME": str(home), "LOGNAME": LOGIN, "MLFLOW_TRACKING_URI": address.replace("//", f"//bob:{PASSWORD}@")}
            | {"FRACTURE_CACHE_DIR": str(home / "cache")},
            capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait(30)
    shown = done.stdout + done.stderr
    codes = [" ".join(line.split()[1:]) for line in shown.splitlines() if line.startswith("CODE")]
    assert codes == ["train 0", "train 2", "train 3", "train 2", "audit 0", "compare 0", "evaluate 0", "promote 0",
                     "list 0", "verify 0", "worker 2"], shown[-3000:]  # fmt: skip
    assert PASSWORD not in shown
    files = [path for path in [*kept.rglob("*"), *project.rglob("*")] if path.is_file()]
    assert len(files) > 20, "the server has kept artifacts"
    for path in files:
        content = path.read_bytes()
        assert PASSWORD.encode() not in content, path
        if path.is_relative_to(kept):
            assert LOGIN.encode() not in content, path
            assert str(home).encode() not in content, path


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("ascii", "?a? ??\n"), ("cp1252", "\u201ca\u201d \u2020?\n"), ("utf-8", "\u201ca\u201d \u2020\\udcff\n")],
)
def test_no_character_ends_a_command(encoding: str, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    with privacy.guarded_streams():
        print("\u201ca\u201d \u2020\udcff")
    assert raw.getvalue().decode(encoding) == written


def test_a_closed_stream_is_written_to_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with privacy.guarded_streams():
        print("a")
        print("b", file=sys.stderr)
        sys.stdout.flush()
    assert sys.stdout is None
