"""A headless Chromium: for tests that look at a page, and for the pictures of the documents."""

import shutil
from pathlib import Path
from typing import Any


def missing() -> str:
    """What a browser would need and this machine lacks; empty where nothing does."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "needs selenium"
    return "" if shutil.which("chromedriver") and _binary() else "needs chromium and its driver"


def start(profile: Path, *flags: str) -> Any:
    """One of 1100 x 900 pixels, which keeps what it stores in ``profile``; the caller quits it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _binary()
    size = "--window-size=1100,900"
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", size, f"--user-data-dir={profile}", *flags):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def _binary() -> str:
    return shutil.which("chromium") or shutil.which("google-chrome") or ""
