"""Documents that are written from code agree with it."""

import re
import subprocess
from pathlib import Path

from fracture import config, evidence

LINK = r"\]\((?!https?://|#)([^)#]+)"
ROOT = Path(__file__).resolve().parents[1]


def test_the_readme_lists_every_parameter_as_it_is() -> None:
    assert config.page() in (ROOT / "README.md").read_text()


def test_the_evidence_page_is_the_schema() -> None:
    assert (ROOT / "docs" / "evidence.md").read_text() == evidence.page()


def test_links_of_documents_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    links = [(page, target) for page in pages for target in re.findall(LINK, page.read_text())]
    broken = [f"{page.name}: {target}" for page, target in links if not (page.parent / target).exists()]
    assert not broken


def test_the_continuous_integration_runs_the_readmes_test_command() -> None:
    command = "pip install -e '.[test]' && pytest"
    assert command in (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
