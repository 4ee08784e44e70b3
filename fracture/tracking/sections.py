"""Metrics in sections: MLflow's pages group them by what is before a slash; everywhere else names are plain.

Runs of earlier versions hold plain names, which `plain` leaves as they are.
"""

_SECTIONS = ("train", "val", "test", "best", "trial")
_COSTS = frozenset({
    "epoch_seconds", "images_per_second", "peak_memory_gib", "peak_allocated_gib", "latency_ms", "checkpoint_mib",
    "memory_limit_gib", "memory_gib", "memory_reserved_gib", "memory_allocated_gib",
})  # fmt: skip
_OTHERS = {"lr": "train/lr", "temperature": "val/temperature"}
_PLAIN = {sectioned: plain for plain, sectioned in _OTHERS.items()}


def sectioned(name: str) -> str:
    """What MLflow is told: ``val/macro_f1`` for ``val_macro_f1``, ``cost/latency_ms`` for ``latency_ms``."""
    section, _, rest = name.partition("_")
    if section in _SECTIONS and rest:
        return f"{section}/{rest}"
    return f"cost/{name}" if name in _COSTS else _OTHERS.get(name, name)


def plain(name: str) -> str:
    """The name inside the project of what MLflow was told, in this version or an earlier one."""
    section, slash, rest = name.partition("/")
    if not slash or name in _PLAIN:
        return _PLAIN.get(name, name)
    return f"{section}_{rest}" if section in _SECTIONS else rest if section == "cost" else name
