"""The arrows of the design, read from the imports: down only, one folder for the tracker, no pickles."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("fracture", "tuning", "registry")
BASE = frozenset(
    {
        "errors",
        "rules",
        "allowed_values",
        "config",
        "evidence",
        "files",
        "heap",
        "privacy",
        "progress",
        "tables",
        "failures",
    }
)
ABOVE = {  # what each folder of fracture may import beside itself and BASE
    "data": set(),
    "models": {"data"},
    "evaluation": {"data", "models"},
    "inference": {"data", "models"},
    "training": {"data", "models", "evaluation"},
    "monitoring": {"data", "models", "evaluation", "inference"},
    "tracking": set(),
    "runs": {"data", "models", "evaluation", "inference", "monitoring", "training", "tracking"},
    "commands": {"data", "models", "evaluation", "inference", "monitoring", "training", "tracking", "runs"},
    "__main__": {"commands", "runs"},
    "__init__": set(),
}
BASE_ORDER = {  # who of BASE may import whom
    "errors": set(),
    "rules": set(),
    "allowed_values": {"errors"},
    "config": {"errors", "files", "rules", "allowed_values"},
    "files": {"errors"},
    "heap": set(),
    "privacy": set(),
    "failures": {"errors", "privacy"},
    "evidence": {"errors", "rules", "allowed_values", "config"},
    "progress": {"errors", "config", "evidence", "files", "heap", "privacy", "tables"},
    "tables": {"evidence", "files", "privacy"},
}


def modules(package: str) -> list[Path]:
    """All Python files of a package, tests excluded."""
    return sorted((ROOT / package).rglob("*.py"))


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """Every node of a file's syntax tree that imports or calls."""
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in found if isinstance(node, ast.Import | ast.ImportFrom | ast.Call)]


def imports(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, lazily or not, by statement or by name."""
    place = path.relative_to(ROOT).with_suffix("").parts
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*place[: len(place) - node.level], node.module or ""] if node.level else [node.module or ""]
            yield from (".".join([*filter(None, base), alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__", "run_module"):
            yield from (str(a.value) for a in node.args if isinstance(a, ast.Constant))


def called(node: ast.Call) -> str:
    """Last part of the name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def layer(path: Path) -> str:
    """The folder or base module of fracture that a file belongs to."""
    return path.relative_to(ROOT / "fracture").parts[0].removesuffix(".py")


def offences(package: str, forbidden: set[str]) -> list[str]:
    """Imports of forbidden top-level packages."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] in forbidden
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_between_the_packages(package: str) -> None:
    others = {"fracture": {"tuning", "registry"}, "tuning": {"registry"}, "registry": {"tuning"}}
    assert offences(package, others[package]) == []


def test_nothing_imports_the_tests() -> None:
    assert [found for package in PACKAGES for found in offences(package, {"tests", "conftest"})] == []


def test_only_tracking_imports_mlflow() -> None:
    found = {layer(path) for path in modules("fracture") if any(n.split(".")[0] == "mlflow" for n in imports(path))}
    assert found <= {"tracking"}


def test_every_folder_has_its_place() -> None:
    assert {layer(path) for path in modules("fracture")} <= ABOVE.keys() | BASE


@pytest.mark.parametrize("path", modules("fracture"), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_inside_fracture_point_down(path: Path) -> None:
    own = layer(path)
    allowed = BASE_ORDER[own] if own in BASE else ABOVE[own] | BASE
    used = {name.split(".")[1] for name in imports(path) if name.startswith("fracture.")}
    assert used - allowed - {own, "__version__"} == set()


def test_the_base_is_light() -> None:
    """Configuration errors are told before seconds of imports; data needs no torch but for its batches."""
    heavy = {"torch", "torchvision", "timm", "mlflow", "sklearn", "pandas", "matplotlib"}
    for path in modules("fracture"):
        if layer(path) in BASE | {"__main__", "__init__"}:
            assert not heavy & {name.split(".")[0] for name in imports(path)}, path
    torch = {path.name for path in modules("fracture/data") if any(n.split(".")[0] == "torch" for n in imports(path))}
    assert torch <= {"batches.py"}


def test_every_folder_says_what_lives_there() -> None:
    for package in PACKAGES:
        for path in modules(package):
            if path.name == "__init__.py":
                assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_nothing_is_unpickled() -> None:
    """`torch.load` reads weights only; pickle, dill, joblib and shelve are not imported at all."""
    for package in PACKAGES:
        assert offences(package, {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}) == []
        for path in modules(package):
            for node in nodes(path):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "load_state_dict_from_url"):
                    chosen = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    assert chosen.get("weights_only") == "True", f"{path}:{node.lineno}"
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
                    assert "allow_pickle" not in {k.arg for k in node.keywords}, f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import a.b", ["a.b"]),
        ("from a import b as c, d", ["a.b", "a.d"]),
        ("def f():\n    from mlflow import log", ["mlflow.log"]),
        ("from . import b", ["fracture.data.b"]),
        ("from ..models import b", ["fracture.models.b"]),
        ("import importlib\nimportlib.import_module('tuning.space')", ["importlib", "tuning.space"]),
    ],
)
def test_the_reader_of_imports(code: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(__import__("sys").modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "fracture" / "data" / "a.py"
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert list(imports(path)) == names
