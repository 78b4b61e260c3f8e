"""`rvdtool research …`: data sets, training and the benchmark; one file per command."""

import typer

from rvdtool.research.cli import benchmark, dataset, train

app = typer.Typer(
    name="research",
    help="Make data sets, train networks, and compare methods.",
    no_args_is_help=True,
)
app.add_typer(dataset.app)
app.command()(train.train)
app.command()(benchmark.benchmark)
