"""The options of the command line have the names and defaults of the settings in the dataclasses."""

from __future__ import annotations

from dataclasses import fields

import typer.main

from bayespress.cli.app import app
from bayespress.compress.settings import CompressSettings
from bayespress.train.recipe import Training
from bayespress.train.settings import FitSettings


def options(command: str) -> dict[str, object]:
    """The default of each option, by the name of its parameter."""
    return {each.name: each.default for each in typer.main.get_command(app).commands[command].params}


def test_compress_has_an_option_for_each_setting():
    given = options("compress")
    for field in fields(CompressSettings):
        assert given[field.name] == field.default, field.name


def test_train_has_an_option_for_each_setting():
    """The defaults come from the recipe, so each option has the default None, and the help shows the real default."""
    parameters = {each.name: each for each in typer.main.get_command(app).commands["train"].params}
    for field in fields(FitSettings):
        assert parameters[field.name].default is None, field.name
        assert str(parameters[field.name].show_default).startswith(str(field.default)), field.name


def test_recipes_have_the_defaults_of_training():
    recipe = Training()
    for field in fields(FitSettings):
        assert getattr(recipe, field.name) == field.default, field.name


def test_tune_and_compress_have_the_same_arguments():
    import inspect

    import bayespress

    given = options("compress")
    goals = ("max_error", "max_loss", "max_bytes", "trials", "storage", "data_dir", "trust_code", "overwrite")
    assert set(goals) <= set(given)
    assert set(goals) <= set(inspect.signature(bayespress.tune).parameters)
    assert {"tolerance", "threads", "out"} <= set(given) & set(inspect.signature(bayespress.compress).parameters)


def test_a_recipe_s_compress_table_is_stored_with_the_run(tmp_path, monkeypatch):
    import json

    import pytest

    from bayespress.cli.run import run
    from bayespress.errors import InputError

    monkeypatch.chdir(tmp_path)
    (tmp_path / "row.toml").write_text('[training]\nepochs = 1\n\n[compress]\nquantizer = "size"\nbudget = 0.1\n')
    assert run(["train", "--recipe", "row.toml", "-o", "run", "--json"]) == 0
    assert run(["compress", "run", "--rule", "magnitude", "--budget", "0.2", "-o", "packed", "--json"]) == 0
    settings = json.loads((tmp_path / "packed" / "packed.json").read_text())["settings"]
    assert (settings["quantizer"], settings["rule"], settings["budget"]) == ("size", "magnitude", 0.2)
    (tmp_path / "wrong.toml").write_text("[compress]\nbudgets = 0.1\n")
    with pytest.raises(InputError, match=r"'budgets' .*did you mean budget"):
        run(["train", "--recipe", "wrong.toml", "-o", "other"])
    assert not (tmp_path / "other").exists()


def test_a_recipe_s_goal_is_searched_unless_the_settings_are_given(tmp_path, monkeypatch):
    """Train and compress with one file, as for a published row."""
    import json

    import bayespress
    from bayespress.cli.run import run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "row.toml").write_text(
        "[training]\nepochs = 1\nheld_out = 0.1\nwarmup_start = 0.9\nwarmup_end = 1.0\n\n"
        "[compress]\nmax_bytes = 900000\ntrials = 2\nprofile = 'fast'\n"
    )
    assert run(["train", "--recipe", "row.toml", "-o", "run", "--json"]) == 0

    def packed(*options):
        assert run(["compress", "run", "-o", "packed", "--overwrite", "--json", *options]) == 0
        return json.loads((tmp_path / "packed" / "packed.json").read_text())

    searched = packed()
    assert "900,000" in searched["choice"]["goal"]
    assert len(searched["choice"]["points"]) == 2
    assert searched["settings"]["profile"] == "fast"
    in_python = bayespress.compress("run")  # the same search; its trials are stored
    assert (len(in_python.weights), in_python.choice.goal) == (
        searched["packed_bytes"], searched["choice"]["goal"],
    )  # fmt: skip
    given = packed("--budget", "0.2")
    assert given["choice"] is None
    assert (given["settings"]["budget"], given["settings"]["profile"]) == (0.2, "fast")
