"""A published row is one file: the recipe that trains it says how it is compressed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bayespress.cli.app import app
from bayespress.errors import InputError
from bayespress.train.recipe import Recipe, recipe_fields, recipe_names
from bayespress.train.run import RunRecord
from bayespress.workflow.compress_table import TRIALS, check_table, settings_of, table_settings, wanted_search
from bayespress.workflow.training import new_record

ORIGINAL = {"lenet-300-100": 4 * 266_610, "lenet-5-caffe": 4 * 431_080}  # bytes


def _script():
    path = Path(__file__).parent.parent / "benchmarks" / "reproduce_mnist.py"
    spec = importlib.util.spec_from_file_location("reproduce_mnist", path)
    module = importlib.util.module_from_spec(spec)
    monkey = pytest.MonkeyPatch()
    monkey.setitem(__import__("sys").modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    monkey.undo()
    return module


REPRODUCE = _script()


@pytest.mark.parametrize("row", REPRODUCE.ROWS, ids=lambda row: row.name)
def test_each_row_is_a_recipe_with_a_compress_table(row):
    recipe = Recipe.checked(recipe_fields(row.recipe), row.recipe)
    check_table(recipe.compress)
    assert recipe.compress, "the recipe says nothing of compression"
    if row.searched:
        ratio = max(ratio for _, ratio in row.asked)
        assert recipe.compress["max_bytes"] == int(ORIGINAL[recipe.model.name] / ratio)
        assert recipe.training.held_out > 0.0, "a search needs data that training has not seen"


def test_each_recipe_with_a_compress_table_is_a_row():
    with_table = {name for name in recipe_names() if "compress" in recipe_fields(name)}
    assert with_table == {row.recipe for row in REPRODUCE.ROWS}


def test_rows_that_train_the_same_share_their_runs():
    by_recipe = {row.recipe: row for row in REPRODUCE.ROWS}
    fine, coarse = (by_recipe[f"lenet-5-caffe/sparse-vd-moved{end}"] for end in ("-fine", ""))
    assert fine.run_name == coarse.run_name == coarse.name
    assert len({row.run_name for row in REPRODUCE.ROWS}) == len(REPRODUCE.ROWS) - 1


@pytest.mark.parametrize("row", REPRODUCE.ROWS, ids=lambda row: row.name)
def test_the_script_gives_compress_what_the_recipe_says(row):
    import typer.main

    command = typer.main.get_command(app).commands["compress"]
    words = REPRODUCE.options_of(row.compress)
    given = command.make_context("compress", ["run", *words], resilient_parsing=True).params
    assert {name: given[name] for name in row.compress} == row.compress


def run_of(tmp_path, table):
    RunRecord.checked({"compress": table}, "it").write(tmp_path)
    return tmp_path


def test_a_run_is_compressed_as_its_recipe_says(tmp_path):
    for row in REPRODUCE.ROWS:
        run = run_of(tmp_path, row.compress)
        search = wanted_search(run)
        assert (search is not None) == row.searched
        if search is not None:
            assert (search.goal.max_bytes, search.trials) == (row.compress["max_bytes"], row.compress["trials"])
        settings = settings_of(table_settings(RunRecord.read(run).compress))
        assert all(getattr(settings, name) == value for name, value in table_settings(row.compress).items())


def test_what_the_caller_asks_for_takes_precedence(tmp_path):
    run = run_of(tmp_path, {"max_bytes": 900, "trials": 5})
    assert wanted_search(run, {"budget": 0.1}) is None
    assert wanted_search(run, {"retrain": 3}).goal.max_bytes == 900
    assert wanted_search(run, trials=9).trials == 9
    asked = wanted_search(run, {"budget": 0.1}, max_error=2.0)
    assert (asked.goal.max_error, asked.goal.max_bytes, asked.trials) == (2.0, None, TRIALS)
    assert wanted_search(run_of(tmp_path, {"budget": 0.1})) is None
    knee = wanted_search(run_of(tmp_path, {}), trials=3)
    assert (knee.goal.max_bytes, knee.goal.max_error, knee.trials) == (None, None, 3)


@pytest.mark.parametrize(
    ("table", "offending"),
    [
        ({"max_byte": 3}, "'max_byte' .*did you mean max_bytes"),
        ({"budgets": 0.1}, "'budgets' .*did you mean budget"),
        ({"max_bytes": "small"}, "'small'"),
        ({"max_bytes": 10, "max_error": 1.0}, "one goal"),
        ({"trials": 0}, "trials are 0"),
        ({"retrain": 1.5}, "1.5"),
    ],
)
def test_rejects_invalid_compress_tables(table, offending):
    with pytest.raises(InputError, match=offending):
        check_table(table)


@pytest.mark.parametrize("goal", ["max_error = -3.0", "max_error = 100.0", "max_loss = 150"])
def test_rejects_a_goal_out_of_reach_before_training(tmp_path, goal):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'model = "lenet-300-100"\ndata = "digits"\n[compress]\n{goal}\n')
    with pytest.raises(
        InputError, match=goal.rpartition(" ")[2].rstrip("0").rstrip(".") + r".*at least 0 and below 100"
    ):
        new_record(str(recipe), {})


def test_a_goal_in_the_unit_of_another_task_may_exceed_100(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('model = "m:net"\ndata = "m:data"\ntask = "gaussian"\n[compress]\nmax_error = 150.0\n')
    assert new_record(str(recipe), {}).compress == {"max_error": 150.0}
