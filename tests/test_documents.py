"""Documents that are written from code agree with it."""

import pkgutil
import re
import subprocess
from pathlib import Path

import click
import pytest

from fracture import config
from fracture.__main__ import cli
from fracture.evidence.__main__ import page as evidence_page

LINK = r"\]\((?!https?://|#)([^)#]+)"
ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def test_the_page_of_parameters_is_the_code() -> None:
    assert config.page() in (ROOT / "docs" / "parameters.md").read_text()


def test_the_evidence_page_is_the_schema() -> None:
    assert (ROOT / "docs" / "evidence.md").read_text() == evidence_page()


def test_links_of_documents_lead_somewhere() -> None:
    links = [(page, target) for page in PAGES for target in re.findall(LINK, page.read_text())]
    broken = [f"{page.name}: {target}" for page, target in links if not (page.parent / target).exists()]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_document_take_the_options_that_it_gives_them(page: Path) -> None:
    unknown = []
    for verb, rest in re.findall(r"(?:^|`)fracture ([a-z]+)([^`\n#|]*)", page.read_text(), re.MULTILINE):
        command = cli.get_command(click.Context(cli), verb)
        each = [command, *getattr(command, "commands", {}).values()] if command else []
        known = {"--help"} | {option for one in each for parameter in one.params for option in parameter.opts}
        unknown += [f"fracture {verb} {flag}" for flag in re.findall(r"--[\w-]+", rest) if flag not in known]
        unknown += [] if command else [f"fracture {verb}"]
    assert not unknown


def test_the_continuous_integration_runs_the_readmes_test_command() -> None:
    command = "pip install -e '.[test]' && pytest"
    assert command in (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
