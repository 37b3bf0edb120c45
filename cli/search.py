"""`bayespress search`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import DataDir, JsonFlag, TrustCode, print_json, show, size, step, table
from .interrupt import resumable


def search(
    recipe: Annotated[str, typer.Argument(help="A recipe with a [search] table: one of the package's, or a .toml.")],
    trials: Annotated[int, typer.Option(help="How many more networks to train.")] = 20,
    storage: Annotated[
        str | None, typer.Option(help="SQLite file or database URL that workers share.", show_default="OUT/search.db")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of the recipe, as in training.epochs=20.")
    ] = None,
    data_dir: DataDir = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run and packed directory of every trial.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the trials, the table and the plot.")] = Path(
        "search"
    ),
    trust_code: TrustCode = False,
    as_json: JsonFlag = False,
) -> None:
    """Look for the best networks in (error, bytes) over a recipe's ranges.

    Example: [bold]bayespress search my-recipe.toml --trials 50 -o search/lenet[/]

    Each trial trains and compresses one network. The error is measured on a part of the training set that is held
    out; the test set chooses nothing. A search that was cut short goes on with the same command, and the same
    command in several terminals, or on several machines with a database URL, shares the work.

    The table gives each field a range: "training.learning_rate" = { low = 1e-4, high = 1e-2, log = true },
    "method.global_scale" = { choices = [1e-5, 1e-4] }, and settings of compress alike, as compress.threshold
    and compress.budget.
    """
    from ..workflow.recipe_search import search_recipe, words

    with resumable():
        found = search_recipe(
            recipe, out, trials=trials, storage=storage, assignments=assignments or (), data_dir=data_dir, keep=keep,
            trust_code=trust_code, progress=step,
        )  # fmt: skip
    if as_json:
        pareto = [asdict(each) for each in found.pareto]
        print_json({"trials": found.trials, "pareto": pareto, "plot": str(found.plot)})
        return
    rows = [
        (each.trial, found.measured_by.text(each.metric), size(each.bytes), words(each.settings))
        for each in found.pareto
    ]
    title = f"best of {found.trials} trials"
    show(table(title, ("trial", f"held-out {found.measured_by.name}", "size", "settings"), rows), f"Plot: {found.plot}")
