"""`rvdtool models`: lists and shows the included networks, and imports the authors' own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rvdtool.cli import console

if TYPE_CHECKING:
    from rvdtool.network.checkpoint import Model

app = typer.Typer(
    name="models",
    help="List and show trained networks, or import those of the paper's authors.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="The authors' checkpoint, RVD_Part1.pth or RVD_Part2.pth.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the model.", show_default=False),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing model.")
    ] = False,
) -> None:
    """Convert a checkpoint of the paper's authors into a model, without running any code in it.

    Example: rvdtool models import RVD_Part1.pth -o models/rvd-part1
    """
    from rvdtool.fagdn.authors import import_authors
    from rvdtool.network.checkpoint import load_model

    import_authors(file, output, overwrite=overwrite)
    console.print_line(_line(load_model(output)))


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the models that come with rvdtool.

    Example: rvdtool models list
    """
    from rvdtool.network.checkpoint import list_models, load_model

    models = [load_model(name) for name in list_models()]
    if as_json:
        console.print_json([_facts(model) for model in models])
        return
    for model in models:
        console.print_line(_line(model))
    if not models:
        console.note(
            "this installation has no models; `rvdtool derender --model none` works without one"
        )


@app.command()
def show(
    model: Annotated[
        str, typer.Argument(help="A name from `list`, or a folder.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Show a model's configuration and training, and check its weights.

    Example: rvdtool models show models/rvd-part1
    """
    from rvdtool.network.checkpoint import load_model

    facts = _facts(load_model(model))
    if as_json:
        console.print_json(facts)
        return
    for name, value in facts.items():
        for key, entry in value.items() if isinstance(value, dict) else [("", value)]:
            console.print_line(f"{name + ' ' + key if key else name:<28} {entry}")


def _facts(model: "Model") -> dict[str, object]:
    return {
        "name": model.name,
        "kind": model.kind,
        "weights": _weights(model),
        "sha256": model.sha256,
        "config": dict(model.config),
        "training": dict(model.training),
    }


def _line(model: "Model") -> str:
    return f"{model.name:<20} {model.kind:<10} {_weights(model):>12,} weights  {model.sha256[:12]}"


def _weights(model: "Model") -> int:
    return sum(weight.numel() for weight in model.network.parameters())
