"""`python -m registry`: promote, list, show, challenge, rollback, verify, export, predict."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fracture import __main__ as command_line
from fracture.allowed_values import names_in
from fracture.commands.options import Float, WholeSentences, by_option
from fracture.errors import ConfigError, GateError
from fracture.failures import check_output
from fracture.progress import Terminal
from fracture.runs.attached import tag_attached_run
from registry.names import checked

if TYPE_CHECKING:
    from registry.model_status import ModelStatus
    from registry.versions import Registry


def _checked(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """Before anything else is done: a name that no store takes would cost a minute of gates."""
    return checked(name)


_NAME = click.option(
    "--name", default="fracture-classifier", show_default=True, callback=_checked, is_eager=True,
    help="name of the registered model",
)  # fmt: skip
_VERSION = click.option("--version", default="", help="number of a version, in place of that of the alias")
_ALTHOUGH = click.option("--although", default="", help="reason why a --version that was rolled back may return")


@click.group(cls=WholeSentences, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def cli() -> None:
    """Choose the deployed model: gates, candidate, champion and rollback. Research software, not a medical device."""


@cli.command()
@click.argument("run", default="best")
@click.option(
    "--metric", default="val_macro_f1", show_default=True, help="validation metric by which the best run is chosen"
)
@click.option(
    "--use",
    type=click.Choice(["research", "commercial"]),
    default="research",
    show_default=True,
    help="what the model is for; the licence of the initial weights must allow it",
)
@click.option(
    "--thresholds", default="default", show_default=True, help="thresholds of the gates: default, demo, or a TOML file"
)
@click.option(
    "--operating", default="", help="refuse a model whose fracture threshold was fitted by another rule than this"
)
@click.option(
    "--refer-error",
    "--refer_error",
    default="",
    help="refuse a model whose referral was fitted for another error than this",
)
@click.option(
    "--judged",
    type=click.Choice(["test", "out_of_fold"]),
    default="test",
    show_default=True,
    help="where its figures are from: a test split, or (the mean of all folds' heads) out of fold",
)
@click.option("--waive", multiple=True, help="a gate that may fail; repeat it for several")
@click.option("--reason", default="", help="why the gates may fail, for the model card")
@click.option("--by", default="", help="who decided that")
@_NAME
@tag_attached_run("promote")
def promote(
    run: str, metric: str, use: str, thresholds: str, operating: str, refer_error: str, judged: str,
    waive: tuple[str, ...], reason: str, by: str, name: str,
) -> None:  # fmt: skip
    """Check RUN (an id, or best) against the gates and register it as @candidate; exit code 5 if a gate refuses."""
    from registry import promote as promotion
    from registry import thresholds as files

    names = names_in(" ".join(waive))
    if names and not (reason and by):
        raise ConfigError("--waive needs --reason TEXT and --by NAME: a waiver is recorded, never silent")
    place = {"default": files.DEFAULT, "demo": files.DEMO}.get(thresholds, Path(thresholds))
    limits = files.read(place).wanting(operating, refer_error).model_copy(update={"judged": judged})
    registry, terminal = _registry(name), Terminal()
    if place == files.DEMO:
        terminal.warn("thresholds-demo.toml is for demonstrations: nothing that passes it may be deployed")
    run_id = promotion.best_run(metric, terminal.say).id if run == "best" else run
    terminal.say(f"Run {run_id}, for {use} use")
    promotion.promote(run_id, limits, use, dict.fromkeys(names, f"{by}: {reason}"), registry, terminal)


@cli.command("list")
@_NAME
def list_versions(name: str) -> None:
    """List all versions with their aliases and figures."""
    registry, terminal = _registry(name), Terminal()
    status = registry.look()
    if not status.there and not status.lines:
        terminal.say(_nothing(registry))
        return

    def state(version: str) -> str:
        aliases = [f"@{alias}" for alias, real in status.real.items() if real == version]
        return " ".join([*aliases, *(["rolled back"] if version in status.withdrawn else [])])

    columns = {"weights_sha256": 12, "use": 20, "waived": 200}
    rows = [
        [number, state(number), str(one.run_id), one.tags.get("balanced_accuracy", ""),
         *(one.tags.get(f"fracture.{tag}", "")[:most] for tag, most in columns.items())]
        for number, one in sorted(status.there.items(), key=lambda item: -int(item[0]))
    ]  # fmt: skip
    terminal.table(name, ["version", "aliases", "run", "balanced accuracy", "weights", "use", "waived"], rows)
    _warn(registry, status, terminal)


@cli.command()
@click.argument("version", default="")
@_NAME
def show(version: str, name: str) -> None:
    """Show the model card of VERSION, by default the champion, and the history."""
    registry, terminal = _registry(name), Terminal()
    status = registry.look()
    chosen = version or status.real.get("champion") or status.real.get("candidate", "")
    if chosen:
        terminal.say(str(registry.version(chosen).description))
    rows = [
        [str(line.number), said.when, said.who, said.action, said.before or "none", said.version,
         ("does not count, another was quicker: " if line.number in status.state.void else "") + said.reason]
        for line in status.lines for said in [line.entry]
    ]  # fmt: skip
    if rows or chosen:
        terminal.table("History", ["", "when", "who", "action", "from", "to", "reason"], rows)
    _warn(registry, status, terminal)
    if not chosen:
        raise ConfigError(_nothing(registry, "nothing is @champion or @candidate" if rows else ""))


def _nothing(registry: "Registry", why: str = "") -> str:
    """What is not there, and what makes it."""
    why = why or "nothing is registered yet"
    return f"{registry.name}: {why}; `python -m registry promote{registry.option}` makes a candidate"


def _warn(registry: "Registry", status: "ModelStatus", terminal: Terminal) -> None:
    """Say what was moved, edited or deleted by hand, what was cut short, and what was rolled back."""
    whole = registry.renamed(status) or registry.deleted(status)
    open_lines = status.misplaced_aliases if status.open_lines else []
    for what in (whole,) if whole else (*status.by_hand, *open_lines, *status.gone.values()):
        terminal.warn(f"{what}; `python -m registry verify{registry.option}` says what repairs it")
    for version in status.withdrawn:
        terminal.warn(status.why_withdrawn(version))


@cli.command()
@click.option(
    "--margin",
    default=0.02,
    show_default=True,
    type=Float(0, 1),
    help="largest loss of balanced accuracy that is accepted",
)
@_VERSION
@_ALTHOUGH
@_NAME
@tag_attached_run("challenge")
def challenge(margin: float, version: str, although: str, name: str) -> None:
    """Compare @candidate with @champion on the same test data; exit code 5 if it loses."""
    from registry import champion

    _by_name(version, although)
    champion.challenge(_registry(name), Terminal(), margin, version, although)


@cli.command()
@click.option("--reason", default="", help="what is wrong with the champion, for the history")
@_VERSION
@_ALTHOUGH
@_NAME
@tag_attached_run("rollback")
def rollback(reason: str, version: str, although: str, name: str) -> None:
    """Make @previous the champion again, after checking that it loads."""
    from registry import champion

    _by_name(version, although)
    champion.rollback(_registry(name), reason, Terminal(), version, although)


def _by_name(version: str, although: str) -> None:
    if although and not version:
        raise ConfigError('--although "WHY" goes with --version N: what was rolled back returns only by its number')


@cli.command()
@click.option(
    "--repair", is_flag=True, help="Repair history, aliases, tags, and deleted runs and versions where possible."
)
@_NAME
def verify(repair: bool, name: str) -> None:
    """Check that aliases, history, versions and their runs agree; exit code 5 if not."""
    from registry import verify as verification

    registry, terminal = _registry(name), Terminal()
    left = verification.verify(registry, terminal, repair=repair)
    if repair and left:
        left = verification.verify(registry, terminal)
    if left:
        way = "a person must decide" if repair else "`python -m registry verify --repair` repairs what can be"
        raise GateError(f"{len(left)} disagreement{'s' if len(left) > 1 else ''}; {way}")


_MODEL = click.option(
    "--model", default="@champion", show_default=True, help="@ALIAS, VERSION, NAME@ALIAS, NAME/VERSION"
)


@cli.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "pt2"]),
    required=True,
    help="onnx for ONNX Runtime, pt2 for PyTorch (torch.export)",
)
@click.option(
    "--variant",
    type=click.Choice(["fp32", "int8", "bf16"]),
    default="fp32",
    show_default=True,
    help="precision: fp32 loses nothing; int8 (onnx) and bf16 (pt2) are smaller",
)
@click.option(
    "--bound",
    default=0.01,
    show_default=True,
    type=Float(0, 1),
    help="largest loss of balanced accuracy accepted for int8 or bf16",
)
@click.option("--out", default="exported", show_default=True, type=click.Path(path_type=Path), help="output folder")
@_MODEL
def export(form: str, variant: str, bound: float, out: Path, model: str) -> None:
    """Export the model as ONNX or pt2 if its answers agree with the torch model; otherwise exit code 5 and no file."""
    from registry import export as exporting
    from registry import loading

    exporting.check_variant(form, variant)
    check_output(folder=out)
    terminal = Terminal()
    registry, version = loading.find(model, terminal.warn)
    predictor = loading.open_version(registry, version)
    run_id = str(registry.version(version).run_id)
    terminal.say(f"{registry.name} version {version} as {form} {variant} ...")
    about = exporting.export(predictor, run_id, form, variant, bound, out)
    rows = [
        [f"torch, {about.images} images of validation", f"{about.balanced_accuracy_torch:.3f}", "", ""],
        [f"{form} {variant}, {about.mib:.1f} MiB", f"{about.balanced_accuracy:.3f}", f"{about.difference:.2g}",
         f"{about.agreement:.1%}"],
    ]  # fmt: skip
    terminal.table("Export", ["", "balanced accuracy", "largest difference of a logit", "same label"], rows)
    terminal.say(
        f"{out / f'model.{form}'}: grey squares uint8 [n, size, size] in, logits out; model.json says the rest"
    )


@cli.command()
@click.argument("sources", metavar="IMAGE...|DIR|MANIFEST", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", default="predictions.csv", show_default=True, type=click.Path(path_type=Path), help="output table"
)
@by_option
@_MODEL
def predict(sources: tuple[Path, ...], out: Path, by: str, model: str) -> None:
    """Predict images with a registered model, as a table; the same command continues after an interruption."""
    from fracture.inference.study_table import PredictionInputs
    from registry import loading

    check_output(out, out.with_name(f"{out.name}.model"))
    questions, terminal = PredictionInputs.read(sources, by), Terminal()
    predictor = loading.open_version(*loading.find(model, terminal.warn))
    with terminal.working() as progress:
        written = questions.answer(predictor, out, progress)
    terminal.say(written.said(out))
    for warning in written.warnings():
        terminal.warn(warning)


def _registry(name: str) -> "Registry":
    from fracture.tracking import store
    from registry.versions import Registry

    store.connect()
    return Registry(name)


if __name__ == "__main__":
    command_line.run(cli, "python -m registry")
