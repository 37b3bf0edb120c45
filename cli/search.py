"""`bayespress search`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import DataDir, JsonFlag, TrustCode, print_json, show, size, step, table
from .interrupt import resumable


def search(
    recipe: Annotated[
        str, typer.Argument(help="Recipe with a \\[search] table: the name of a built-in recipe, or a .toml file.")
    ],
    trials: Annotated[int, typer.Option(help="Number of networks to train, in addition to earlier trials.")] = 20,
    storage: Annotated[
        str | None,
        typer.Option(
            help="SQLite file or database URL with the trials; several workers can share it.",
            show_default="OUT/search.db",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Value for a field of the recipe, as in training.epochs=20; repeat for several."),
    ] = None,
    data_dir: DataDir = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run and packed directory of every trial.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the trials and the plot.")] = Path("search"),
    trust_code: TrustCode = False,
    as_json: JsonFlag = False,
) -> None:
    """Search a recipe's ranges for the networks with the best trade-off between error and size.

    Example: [bold]bayespress search my-recipe.toml --trials 50 -o search/lenet[/]

    Each trial trains and compresses one network. The error is measured on a held-out part of the training set; the test
    set selects nothing. The same command continues an interrupted search. To share the work, run the same command in
    several terminals, or on several machines with a database URL.

    The [search] table gives a range for each field: "training.learning_rate" = { low = 1e-4, high = 1e-2, log = true },
    "method.global_scale" = { choices = [1e-5, 1e-4] }. Settings of compress work in the same way: compress.threshold,
    compress.budget.
    """
    from ..workflow.recipe_search import search_recipe, words

    with resumable():
        result = search_recipe(
            recipe, out, trials=trials, storage=storage, assignments=assignments or (), data_dir=data_dir, keep=keep,
            trust_code=trust_code, progress=step,
        )  # fmt: skip
    if as_json:
        pareto = [asdict(trial) for trial in result.pareto]
        print_json({"trials": result.trials, "pareto": pareto, "plot": str(result.plot)})
        return
    metric = result.measured_by
    rows = [
        (trial.trial, metric.text(trial.metric), size(trial.bytes), words(trial.settings)) for trial in result.pareto
    ]
    title = f"best of {result.trials} trials"
    show(table(title, ("trial", f"held-out {metric.name}", "size", "settings"), rows), f"Plot: {result.plot}")
