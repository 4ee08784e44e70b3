"""`fracture memory`: predict the memory of a training step, and what fits under a limit."""

import json
import sys
from typing import Any

import click

from fracture.allowed_values import parse_model
from fracture.commands.options import given, options_of
from fracture.progress import Terminal
from fracture.training.memory.config import MemoryConfig

_PRECISIONS = ("fp32", "bf16")


@click.command("memory")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the parts of every peak.")
@options_of(MemoryConfig)
def command(as_json: bool, **values: str | None) -> None:
    """Predict the peak memory of a training step, without a GPU, for batches of 1 to 128 in fp32 and bf16.

    Figures are for the whole process, as nvidia-smi shows it; batches over the limit are marked.
    """
    config = parse_model(MemoryConfig, given(values), "fracture memory")
    from fracture.models import backbones  # heavy imports only once the values are right

    limit = config.memory_limit_gib
    tables = [_predict(config, name) for name in backbones.split_names(config.model)]
    if as_json:
        json.dump({"limit_gib": limit, "tables": tables}, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    terminal = Terminal()
    for table in tables:
        _show(table, limit, terminal)
    terminal.say(
        f"* over the limit of {limit:.1f} GiB (memory_limit_gib). Two dry runs each, at 2 and 4 images; every "
        "block grows linearly with the batch, so the other rows are equally exact (docs/memory.md)."
    )


def _predict(config: MemoryConfig, name: str) -> dict[str, Any]:
    """Every prediction for one backbone."""
    from fracture.models import backbones
    from fracture.training.memory.card import Card, card_here
    from fracture.training.memory.predict import predict
    from fracture.training.memory.spec import StepSpec

    backbone = backbones.find(name)
    sizes = [2**n for n in range(config.largest.bit_length())]
    shared = config.model_dump(include={"classes", "optimizer", "ema", "checkpointing"}) | {
        "model": name,
        "device": config.device,
        "image_size": backbone.image_size(config.image_size),
    }
    rows, card = [], (card_here() if config.device == "cuda" else None) or Card()
    for size in sizes:
        for precision in _PRECISIONS:
            spec = StepSpec.model_validate(shared | {"batch_size": size, "precision": precision, "card": card})
            step, judged = predict(spec), predict(spec.model_copy(update={"evaluation": True}))
            found = step.model_dump(exclude={"spec"}) | {"evaluation_gib": judged.process_gib}
            rows.append(found | {"batch_size": size, "precision": precision, "process_gib": step.process_gib})
    return shared | {"model": backbone.name, "rows": rows}


def _show(table: dict[str, Any], limit: float, terminal: Terminal) -> None:
    """One table, and what the largest batch that fits is made of."""
    rows = table["rows"]
    cells = [
        [str(size), *(_cell(row, limit) for precision in _PRECISIONS for row in rows if _is(row, size, precision))]
        for size in dict.fromkeys(row["batch_size"] for row in rows)
    ]
    options = [name for name in ("ema", "checkpointing") if table[name]]
    title = ", ".join([f"{table['model']}, {table['image_size']} px, {table['optimizer']}", *options, table["device"]])
    columns = [f"{precision}: allocated / reserved / process, evaluation" for precision in _PRECISIONS]
    terminal.table(f"{title}; GiB", ["batch", *columns], cells)
    for precision in _PRECISIONS:
        fitting = [row for row in rows if row["precision"] == precision and row["process_gib"] <= limit]
        if fitting:
            terminal.say(_parts(fitting[-1]))
    if rows[0]["batch_norm"]:
        terminal.say("It has batch normalisation: micro-batches would train it differently than the whole batch.")


def _is(row: dict[str, Any], size: int, precision: str) -> bool:
    return bool(row["batch_size"] == size and row["precision"] == precision)


def _cell(row: dict[str, Any], limit: float) -> str:
    mark = " *" if row["process_gib"] > limit else "  "
    figures = [f"{row[name]:.2f}" for name in ("allocated_gib", "reserved_gib", "process_gib")]
    return f"{' / '.join(figures)}{mark}, {row['evaluation_gib']:.2f}"


def _parts(row: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {size:.2f}" for name, size in row["parts"].items() if size >= 0.005)
    return f"Batch {row['batch_size']} in {row['precision']} peaks in its {row['phase']} pass: {parts}."
