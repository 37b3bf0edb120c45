"""Recipes: those of the package are sound, and any key can be changed."""

from __future__ import annotations

import pytest

from bayespress.cli.train import METHOD_NAMES
from bayespress.errors import InputError
from bayespress.train.data import DATA_SETS
from bayespress.train.fit import FitSettings
from bayespress.train.methods import METHODS, method_named
from bayespress.train.models import MODELS
from bayespress.train.recipe import LOADING, Recipe, recipe_fields, recipe_names, set_field


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_run(name):
    recipe = Recipe.checked(recipe_fields(name), name)
    assert recipe.model.name in MODELS
    assert recipe.data.name in DATA_SETS
    assert method_named(recipe.method.name, **recipe.method.options)
    assert FitSettings(**recipe.training.model_dump(exclude={*LOADING, "held_out"})).epochs == recipe.training.epochs
    if not name.startswith("demo/"):
        assert name.split("/")[0] == recipe.model.name


def test_short_forms():
    recipe = Recipe.checked({"model": "lenet-5-caffe", "method": {"name": "mc-dropout", "rate": 0.3}}, "it")
    assert recipe.model.name == "lenet-5-caffe"
    assert recipe.method.options == {"rate": 0.3}
    assert recipe.data.name == "digits"
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("training.epochs=5", {"training": {"epochs": 5}, "method": {"name": "sparse-vd", "a": 1}}),
        ("method.a = 2.5", {"method": {"name": "sparse-vd", "a": 2.5}}),
        ("method.name=sparse-vd", {"method": {"name": "sparse-vd", "a": 1}}),
        ("method.name=mc-dropout", {"method": {"name": "mc-dropout"}}),
        ('data.name="mnist"', {"data": {"name": "mnist"}, "method": {"name": "sparse-vd", "a": 1}}),
        ("model.width=3", {"model": {"name": "m:f", "width": 3}, "method": {"name": "sparse-vd", "a": 1}}),
    ],
)
def test_any_key_can_be_set(assignment, expected):
    fields = {"method": {"name": "sparse-vd", "a": 1}}
    if assignment.startswith("model"):
        fields["model"] = "m:f"
    set_field(fields, assignment)
    assert fields == expected


@pytest.mark.parametrize("assignment", ["training.epochs", "=5", "training..epochs=5"])
def test_assignments_that_are_none(assignment):
    with pytest.raises(InputError, match="is no assignment"):
        set_field({}, assignment)


def test_unknown_recipes_list_near_ones():
    with pytest.raises(InputError, match="no recipe 'lenet-300-100/sparse-dv'; near ones are lenet-300-100/sparse-vd"):
        recipe_fields("lenet-300-100/sparse-dv")


def test_a_recipe_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('data = "mnist"\n[training]\nepochs = 3\n')
    assert Recipe.checked(recipe_fields(str(path)), "mine").training.epochs == 3
    path.write_text("data = ")
    with pytest.raises(InputError, match=r"mine\.toml is no TOML"):
        recipe_fields(str(path))
    with pytest.raises(InputError, match="no recipe at"):
        recipe_fields(str(tmp_path / "missing.toml"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"training": {"epoch": 3}}, r"mine: training\.epoch"),
        ({"training": {"batch_size": 0}}, r"mine: training\.batch_size"),
        ({"speed": 3}, "mine: speed"),
        ({"method": {"options": {}}}, r"mine: method\.name"),
    ],
)
def test_fields_that_are_none(fields, message):
    with pytest.raises(InputError, match=message):
        Recipe.checked(fields, "mine")


def test_the_command_line_names_every_method():
    """They are written out there, so that --help need not import torch."""
    assert sorted(METHOD_NAMES) == sorted(METHODS)
