"""Recipes: everything that decides a training run, as a TOML file.

    model = "lenet-300-100"          # or a table with `name` and the model's arguments
    data = "mnist"
    task = "cross-entropy"           # or a table, as {name = "gaussian", sigma = 0.1}; by default the data set's own

    [method]
    name = "group-horseshoe"         # the other keys are the method's settings
    global_scale = 1e-5

    [training]                       # see Training
    epochs = 100

    [compress]                       # what `compress` does with the run, see workflow/compress_table.py
    retrain = 10
    max_bytes = 1553

Recipes that come with the package lie in train/recipes/ and are named by their path there, without its ending.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import InputError, reason_of, unknown_name
from ..files import read_bytes
from ..text import printable
from .settings import FitSettings

_FOLDER = "recipes"
_LARGEST_RECIPE = 1 << 20  # bytes
# Fields of Training that say what the batches are made of, and how; the others are FitSettings'.
LOADING = ("batch_size", "shift", "mirror")
_MOST = (1 << 31) - 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Choice(_Strict):
    """Something chosen by name, with its options."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_short_forms(cls, value: Any) -> Any:
        """A bare name, and options beside the name, are what people write."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and "options" not in value:
            return {"name": value.get("name"), "options": {key: v for key, v in value.items() if key != "name"}}
        return value


class DataChoice(_Strict):
    """The data set and the folder that its files are read from, if one was named."""

    name: str
    folder: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


_FIT = FitSettings()  # where the defaults stand


class Training(_Strict):
    """The numbers of a training run; see fit.FitSettings, which checks them, and data.batches."""

    epochs: int = _FIT.epochs
    batch_size: int = Field(default=100, ge=1, le=_MOST)
    learning_rate: float = _FIT.learning_rate
    warmup_start: float = _FIT.warmup_start
    warmup_end: float = _FIT.warmup_end
    kl_weighting: str = _FIT.kl_weighting
    autocast: str = _FIT.autocast
    shift: int = Field(default=0, ge=0, le=_MOST)
    mirror: bool = False
    held_out: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="part of the training set kept back, for `compress` to choose by"
    )
    seed: int = _FIT.seed

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_booleans(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name, number in value.items():
                if isinstance(number, bool) and name in cls.model_fields and name != "mirror":
                    raise ValueError(f"{name} is {str(number).lower()}, and a number or a name is needed")
        return value


class Range(_Strict):
    """Values that a search may give a field: from `low` to `high`, on a logarithmic scale if `log`, or `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        bounds = self.low is not None and self.high is not None and self.low < self.high
        if bounds == bool(self.choices) or (self.log and not (self.low or 0) > 0):
            raise ValueError("a range has low < high (above 0 if log = true), or choices")
        return self


class Recipe(_Strict):
    """What decides a run."""

    model: Choice = Choice(name="lenet-300-100")
    method: Choice = Choice(name="sparse-vd")
    data: DataChoice = DataChoice(name="digits")
    task: Choice | None = Field(
        default=None, description="likelihood of the targets, see train.likelihoods; none takes the data set's own"
    )
    training: Training = Training()
    start: str | None = Field(default=None, description="run directory whose network training starts from")
    compress: dict[str, Any] = Field(
        default_factory=dict,
        description="settings and goal that `compress` takes for this run, see workflow/compress_table.py",
    )

    @classmethod
    def checked(cls, fields: dict[str, Any], what: str) -> Self:
        """From plain values. Raises InputError naming `what` and the first field that is wrong."""
        try:
            Recipe.model_validate(fields)  # what a run adds to its recipe is not for a recipe to say
            return cls.model_validate(fields)
        except ValidationError as error:
            raise InputError(f"{what}: {_first_fault(error)}.") from None


def _first_fault(error: ValidationError) -> str:
    """The first field that is wrong, how, and of an unknown one a near name."""
    first = error.errors()[0]
    *outer, last = (str(part) for part in first["loc"]) if first["loc"] else ("the whole",)
    if first["type"] != "extra_forbidden":
        return f"{reason_of(error)}; see `bayespress train --help` for what there is"
    fields: type[BaseModel] | None = Recipe
    for part in outer:
        kind = fields.model_fields[part].annotation if fields is not None and part in fields.model_fields else None
        fields = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    known = list(fields.model_fields) if fields is not None else []
    near = difflib.get_close_matches(last, known, 2, 0.5)
    hint = f"did you mean {' or '.join(near)}" if near else f"the fields there are {', '.join(known)}"
    return f"{printable('.'.join([*outer, last]))} is no field of a recipe; {hint}"


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    root = files(__package__ or "bayespress.train") / _FOLDER
    folders = (folder for folder in root.iterdir() if folder.is_dir())
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.toml')}"
        for folder in folders for file in folder.iterdir() if file.name.endswith(".toml")
    )  # fmt: skip


def recipe_fields(name: str) -> dict[str, Any]:
    """The plain values of a recipe: one of the package's by name, or a path that ends in .toml.

    Raises InputError for an unknown name, listing near ones, and for a file that is no TOML.
    """
    if name.endswith(".toml"):
        data, where = read_bytes(Path(name), "recipe", _LARGEST_RECIPE), name
    elif name in recipe_names():
        data = (files(__package__ or "bayespress.train") / _FOLDER / f"{name}.toml").read_bytes()
        where = f"recipe {name}"
    else:
        raise unknown_name("recipe", name, recipe_names(), "the path of your own, which ends in .toml")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))  # editors on Windows put a mark before the first character
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of too many digits, too deep
        raise InputError(f"{where} is no TOML ({reason_of(error)}); mend the file.") from None


def search_ranges(fields: dict[str, Any]) -> dict[str, Range]:
    """Take the `[search]` table out of a recipe's plain values: ranges by dotted key, as set_value takes them.

    Raises InputError for a range that is none.
    """
    ranges = {}
    search = fields.pop("search", {})
    if not isinstance(search, dict):
        raise InputError(f"The search ranges are {search!r}; write a table [search] of ranges.")
    for key, value in search.items():
        try:
            ranges[key] = Range.model_validate(value)
        except ValidationError as error:
            raise InputError(
                f"Search range {key}: {reason_of(error)}; write it like {{ low = 1, high = 9 }}."
            ) from None
    return ranges


def set_field(fields: dict[str, Any], assignment: str) -> None:
    """Change one field of a recipe's plain values in place, as in `training.epochs=5` or `method.name="sparse-vd"`.

    Raises InputError when it is no assignment. A value that is no TOML is taken for a string.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise InputError(f"{assignment!r} is no assignment; write it like training.epochs=5.")
    try:
        parsed = tomllib.loads(f"value = {text}")
        value = parsed["value"] if len(parsed) == 1 else text.strip()
    except (ValueError, RecursionError):
        value = text.strip()
    set_value(fields, key.strip(), value)


def set_value(fields: dict[str, Any], key: str, value: Any) -> None:
    """Change one field, by its dotted key, in place. A method of another name loses the settings of the old one."""
    *outer, last = key.split(".")
    inner = fields
    for part in outer:
        held = inner.get(part)
        if not isinstance(held, dict):  # a short form: its word is the name
            held = inner[part] = {} if held is None else {"name": held}
        inner = held
    if last == "name" and outer in (["model"], ["method"], ["task"]) and inner.get("name") not in (None, value):
        inner.clear()
    inner[last] = value
