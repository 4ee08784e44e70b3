"""The tests of the suite that are skipped where torch sees no GPU."""

import argparse
import re
import subprocess
import sys

from tests.gpu.__main__ import ROOT
from tests.gpu.card import emit

PLACES = ("tests/training", "tests/tuning/test_budget.py", "tests/runs/test_gpus.py")


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    parser.parse_args()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-k", "gpu or cuda", *PLACES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout[-6000:], done.stderr[-2000:], flush=True)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)}
    emit(**counts, exit=done.returncode, holds=done.returncode == 0)


if __name__ == "__main__":
    main()
