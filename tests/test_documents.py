"""Documents that are written from code agree with it."""

import pkgutil
import re
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from fracture import config
from fracture.__main__ import cli
from fracture.evidence.__main__ import page as evidence_page
from registry.__main__ import cli as registry
from tuning.__main__ import cli as tuning

LINK = r"\]\((?!https?://)([^)#]*)#?([^)]*)\)"
ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def test_the_page_of_parameters_is_the_code() -> None:
    assert config.page() in (ROOT / "docs" / "parameters.md").read_text()


def test_the_evidence_page_is_the_schema() -> None:
    assert (ROOT / "docs" / "evidence.md").read_text() == evidence_page()


def _sections(page: Path) -> set[str]:
    """What links can name of a page, as GitHub makes it of the headings."""
    if page.suffix != ".md":
        return set()
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_of_documents_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target, section in re.findall(LINK, page.read_text()):
            there = page.parent / target if target else page
            if not there.exists() or (section and section not in _sections(there)):
                broken.append(f"{page.name}: {target}#{section}")
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_document_names_is_there(page: Path) -> None:
    text = page.read_text()
    paths = re.findall(r"`((?:fracture|registry|tests|tuning|docs)/[\w./-]+)`", text)
    missing = [path for path in paths if not (ROOT / path).exists()]
    for module in re.findall(r"python -m ((?:fracture|registry|tests|tuning)[\w.]*)", text):
        place = ROOT / module.replace(".", "/")
        if not (place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()):
            missing.append(module)
    for name in re.findall(r"`(fracture\.(?:data|evaluation|inference|models|runs|tracking|training)\.[\w.]+)", text):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
    assert not missing


COMMANDS = {"fracture": cli, "python -m registry": registry, "python -m tuning": tuning}


def _options(program: click.Group, verb: str) -> set[str]:
    """The options of a command and of those below it, of the program itself if none is named; empty if it has none."""
    command = program.get_command(click.Context(program), verb) if verb else program
    if command is None:
        return set()
    each = [command, *(getattr(command, "commands", {}).values() if verb else ())]
    return {"--help"} | {option for one in each for parameter in one.params for option in parameter.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_document_take_the_options_that_it_gives_them(page: Path) -> None:
    unknown = []
    for name, program in COMMANDS.items():
        for verb, rest in re.findall(rf"(?:^|`){name} ?\b([a-z]*)\b([^`\n#|]*)", page.read_text(), re.MULTILINE):
            known = _options(program, verb)
            unknown += [f"{name} {verb} {flag}" for flag in re.findall(r"--[\w-]+", rest) if flag not in known]
            unknown += [] if known else [f"{name} {verb}"]
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_project_takes_the_parameters_that_a_document_gives_it(page: Path) -> None:
    entries = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    text = page.read_text().replace("\\\n", "")
    unknown = []
    for command in re.findall(r"mlflow run \.[^`\n#|]*", text):
        entry = (re.findall(r"-e (\w+)", command) or ["main"])[0]
        known = entries.get(entry, {}).get("parameters", {})
        unknown += [f"-e {entry}"] if entry not in entries else []
        unknown += [f"{entry} -P {name}" for name in re.findall(r"-P (\w+)=", command) if name not in known]
    assert not unknown


def test_the_continuous_integration_runs_the_readmes_test_command() -> None:
    command = "pip install -e '.[test]' && pytest"
    assert command in (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
