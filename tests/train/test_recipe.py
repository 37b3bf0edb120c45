"""Recipes: those of the package are sound, and any key can be changed."""

from __future__ import annotations

import pytest

from bayespress.cli.train import METHOD_NAMES, TASK_NAMES
from bayespress.errors import InputError
from bayespress.train.data import DATA_SETS
from bayespress.train.fit import FitSettings
from bayespress.train.likelihoods import LIKELIHOODS
from bayespress.train.methods import METHODS, method_named
from bayespress.train.models import MODELS
from bayespress.train.recipe import LOADING, Recipe, recipe_fields, recipe_names, search_ranges, set_field


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
    recipe = Recipe.checked({"model": "lenet-5-caffe", "method": {"name": "mc-dropout", "drop_probability": 0.3}}, "it")
    assert recipe.model.name == "lenet-5-caffe"
    assert recipe.method.options == {"drop_probability": 0.3}
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
def test_rejects_invalid_assignments(assignment):
    with pytest.raises(InputError, match="is no assignment"):
        set_field({}, assignment)


def test_unknown_recipes_list_near_ones():
    with pytest.raises(InputError, match=r"no recipe 'lenet-300-100/sparse-dv'.*did you mean lenet-300-100/sparse-vd"):
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
def test_rejects_invalid_fields(fields, message):
    with pytest.raises(InputError, match=message):
        Recipe.checked(fields, "mine")


def test_the_command_line_names_every_method():
    """They are written out there, so that --help need not import torch."""
    assert sorted(METHOD_NAMES) == sorted(METHODS)
    assert sorted(TASK_NAMES) == sorted(LIKELIHOODS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe\x00", "is no TOML"),
        (b"a = " + b"[" * 100_000, "is no TOML"),
        (b"[training]\nseed = " + b"9" * 5000, "is no TOML"),
        (b"search = 3", "search ranges are 3"),
        (
            b"[training]\nlearning_rte = 4",
            r"training\.learning_rte is no field .* mean learning_rate",
        ),
        (b'modle = "x"', "modle is no field of a recipe; did you mean mod"),
        (b'status = "complete"', "status is no field of a recipe"),
        (b'"\\u001b[31mx" = 1', r"\\x1b\[31mx is no field"),
        (b"[training]\nepochs = true", "epochs is true"),
        (b"[training]\nbatch_size = 99999999999999999999", r"training\.batch_size: "),
        (b"training = 5", "training: "),
        (b"model = 5", "model: "),
    ],
)
def test_recipes_of_odd_content_are_one_line(data, message, tmp_path):
    (tmp_path / "odd.toml").write_bytes(data)

    def read():
        fields = recipe_fields(str(tmp_path / "odd.toml"))
        search_ranges(fields)
        Recipe.checked(fields, "odd")

    with pytest.raises(InputError, match=message) as caught:
        read()
    assert "\n" not in str(caught.value)


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path):
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbfmodel = 'vgg'\r\n")
    assert recipe_fields(str(tmp_path / "marked.toml")) == {"model": "vgg"}


@pytest.mark.parametrize(
    "value", ["training.epochs=5\ny=3", "training.epochs=" + "9" * 5000, "training.epochs=" + "[" * 99_999]
)
def test_rejects_an_assignment_of_more_than_a_value(value):
    fields = {}
    set_field(fields, value)
    with pytest.raises(InputError, match=r"training\.epochs: "):
        Recipe.checked(fields, "odd")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("sparse-vd", {"log_alpha_treshold": 3}, "did you mean log_alpha_threshold"),
        ("sparse-vd", {"log_alpha_threshold": "3"}, "log_alpha_threshold of method sparse-vd is '3'"),
        ("sparse-vd", {"log_alpha_threshold": float("nan")}, "is nan"),
        ("sparse-vd", {"log_alpha_threshold": None}, "is None"),
        ("soft-weight-sharing", {"zero_beta": [1.0]}, r"zero_beta of method soft-weight-sharing is \[1.0\]"),
        ("soft-weight-sharing", {"components": 3.5}, "components of method"),
        ("deep-compression", {"prune_at": 0.5}, "prune_at of method"),
    ],
)
def test_settings_of_methods_have_types(method, options, message):
    with pytest.raises(InputError, match=message):
        method_named(method, **options)


def test_settings_of_methods_may_be_whole_numbers_and_lists():
    assert method_named("sparse-vd", log_alpha_threshold=3).log_alpha_threshold == 3
    assert method_named("deep-compression", prune_at=[0.1, 0.2]).prune_at == (0.1, 0.2)
    assert method_named("soft-weight-sharing", zero_beta=[1, 2.5]).zero_beta == (1, 2.5)
