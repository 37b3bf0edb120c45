"""`bayespress train`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..text import shell_word
from ..train.settings import FitSettings
from .console import DataDir, JsonFlag, Overwrite, TrustCode, note, percent, print_json, show, step, table
from .interrupt import command_line

if TYPE_CHECKING:
    from ..train.run import RunRecord


_FIT = FitSettings()  # the defaults
_FEW = " below 10,000 examples"  # see train/suited.py

# A literal list, because the methods import torch and --help must start quickly.
METHOD_NAMES = (
    "bayes-by-backprop", "deep-compression", "dynamic-network-surgery", "group-horseshoe", "group-normal-jeffreys",
    "mc-dropout", "soft-weight-sharing", "sparse-vd",
)  # fmt: skip

TASK_NAMES = ("binary", "cross-entropy", "gaussian", "multi-label", "pixel-cross-entropy")


def _default(value: object) -> Any:
    """Text of the default in the help. The option's real default is None, which keeps the recipe's value."""
    return {"show_default": str(value)}


def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe with all settings: a built-in one, as lenet-5-caffe/group-horseshoe, or your own .toml file."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Network: lenet-300-100, lenet-5-caffe, mlp-1200, vgg, wrn-16-4, or your own as module:callable.",
            **_default("lenet-300-100"),
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"Training method: {', '.join(METHOD_NAMES)}, or your own as module:Class.", **_default("sparse-vd")
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set: digits, mnist, fashion-mnist, cifar10, folder:PATH with pictures, or your own as "
            "module:callable.",
            **_default("digits"),
        ),
    ] = None,
    data_dir: DataDir = None,
    task: Annotated[
        str | None,
        typer.Option(
            help=f"Likelihood of the targets: {', '.join(TASK_NAMES)}, or your own loss function as module:callable.",
            **_default("the data set's task"),
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.", **_default(_FIT.epochs))] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Examples per optimiser step.", **_default(f"100; 25{_FEW}"))
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Adam's initial learning rate; it falls linearly to 0.",
            **_default(f"{_FIT.learning_rate}; 0.002{_FEW}"),
        ),
    ] = None,
    warmup_start: Annotated[
        float | None,
        typer.Option(
            help="Fraction of the run before the KL term is added; its weight then rises until --warmup-end.",
            **_default(_FIT.warmup_start),
        ),
    ] = None,
    warmup_end: Annotated[
        float | None,
        typer.Option(
            help="Fraction of the run after which the KL term has its full weight.",
            **_default(f"{_FIT.warmup_end}; 0.5{_FEW}"),
        ),
    ] = None,
    kl_weighting: Annotated[
        str | None,
        typer.Option(
            help="Weight of the KL term in mini-batch i of M: uniform (1/M), or blundell (2^(M-i)/(2^M-1)).",
            **_default(_FIT.kl_weighting),
        ),
    ] = None,
    autocast: Annotated[
        str | None,
        typer.Option(
            help="Floating-point precision of matrix products: 32-true, bf16-mixed or 16-mixed.",
            **_default(_FIT.autocast),
        ),
    ] = None,
    held_out: Annotated[
        float | None,
        typer.Option(
            help="Fraction of the training set to hold out; `compress` measures its search on this part.", **_default(0)
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Start from the posterior means of this run, instead of random weights.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of initial weights, noise and the order of batches.", **_default(_FIT.seed)),
    ] = None,
    model_args: Annotated[
        str, typer.Option(help='Arguments of the network as a JSON object, as in {"width": 64}.')
    ] = "{}",
    method_args: Annotated[str, typer.Option(help="Settings of the method as a JSON object.")] = "{}",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Value for a field of the recipe, as in method.global_scale=1e-4."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory to write.", show_default="runs/MODEL-METHOD-DATA"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Continue this run directory from its last checkpoint, with the settings of the run."),
    ] = None,
    devices: Annotated[
        str, typer.Option(help="Number of GPUs or processes, or auto (argument of Lightning's Trainer).")
    ] = "1",
    strategy: Annotated[
        str, typer.Option(help="Distribution over devices, for example ddp (argument of Lightning's Trainer).")
    ] = "auto",
    overwrite: Overwrite = False,
    trust_code: TrustCode = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a network with variational Bayes and write a run directory.

    Example: [bold]bayespress train --model lenet-300-100 --data mnist --data-dir ~/data --epochs 60 -o runs/lenet[/]

    With a recipe: [bold]bayespress train --recipe lenet-300-100/sparse-vd --data-dir ~/data --epochs 20[/]

    The run directory contains run.json (settings and the metrics of each epoch), posterior.safetensors (the input of
    `compress`) and checkpoints. --resume continues an interrupted run.
    """
    from ..train.trust import check_code, code_names
    from ..workflow.training import file_name, named_by, new_record, run_kept_safe

    named = [model, data, method, task, *named_by(assignments or [])]
    if resume is not None:
        _refuse_changes(
            resume,
            {
                "--recipe": recipe, "--epochs": epochs, "--batch-size": batch_size, "--learning-rate": learning_rate,
                "--warmup-start": warmup_start, "--warmup-end": warmup_end, "--kl-weighting": kl_weighting,
                "--autocast": autocast, "--held-out": held_out, "--start": start, "--seed": seed, "--out": out,
                "--model-args": None if model_args == "{}" else model_args,
                "--method-args": None if method_args == "{}" else method_args, "--set": assignments or None,
            },
        )  # fmt: skip
        folder, record = resume, _unfinished(resume)
        # A name that the user repeats allows its code to be imported (trust.py); a different name is a change.
        names = {
            "--task": (task, None if record.task is None else record.task.name),
            "--model": (model, record.model.name),
            "--method": (method, record.method.name),
            "--data": (data, record.data.name),
        }
        _refuse_changes(resume, {option: given for option, (given, own) in names.items() if given != own})
        if data_dir is not None:
            record.data.folder = str(data_dir)
    else:
        choices = {
            "model.name": model, "method.name": method, "data.name": data, "task.name": task,
            "data.folder": None if data_dir is None else str(data_dir), "start": None if start is None else str(start),
            "training.epochs": epochs, "training.batch_size": batch_size, "training.learning_rate": learning_rate,
            "training.warmup_start": warmup_start, "training.warmup_end": warmup_end,
            "training.kl_weighting": kl_weighting, "training.autocast": autocast, "training.held_out": held_out,
            "training.seed": seed,
        }  # fmt: skip
        choices |= {f"model.{key}": value for key, value in _json_object("--model-args", model_args).items()}
        choices |= {f"method.{key}": value for key, value in _json_object("--method-args", method_args).items()}
        record = new_record(recipe, choices, assignments or [])
        check_code(record, f"recipe {recipe}", named, trust_code=trust_code)
        folder = out or Path("runs") / file_name(f"{record.model.name}-{record.method.name}-{record.data.name}")
    from ..train.training_run import train_run

    with run_kept_safe(
        folder,
        resume=resume is not None,
        overwrite=overwrite,
        inputs=(start, _recipe_file(recipe)),
        restart=command_line,
    ):
        train_run(
            folder, record, resume=resume is not None, live=not as_json, devices=devices, strategy=strategy, log=step,
            named=named, trust_code=trust_code,
        )  # fmt: skip
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        return
    if as_json:
        print_json(record)
        return
    last, final, metric = record.metrics[-1], record.final, record.measured_by
    at_chance = final is not None and final.at_chance
    if final is not None and at_chance:
        note(
            f"The {final.part} {metric.name} of {metric.text(final.metric)} is at chance level: always answering the "
            f"most frequent class gives {metric.text(final.constant)}; train for more epochs, or lower the "
            "learning rate."
        )
    trust = " --trust-code" if code_names(record) else ""
    show(
        table(
            f"{record.model.name} on {record.data.name} by {record.method.name}",
            ("", ""),
            [
                (f"{final.part if final else 'test'} {metric.name}", metric.text(final.metric if final else None)),
                ("remaining weights", percent(final.nonzero_percent if final else None)),
                ("KL, nats per example", f"{last.kl:.4f}"),
                ("seconds", f"{record.seconds:.0f}"),
                ("run directory", folder),
            ],
        ),
        *([] if at_chance else [f"Next: bayespress compress {shell_word(folder)}{trust}"]),
    )


def _recipe_file(recipe: str | None) -> Path | None:
    return Path(recipe) if recipe is not None and recipe.endswith(".toml") else None


def _refuse_changes(folder: Path, options: Mapping[str, Any]) -> None:
    """Raise InputError if the user gave a setting together with --resume, which keeps the settings of the run."""
    if given := [option for option, value in options.items() if value is not None]:
        raise InputError(
            f"--resume {folder} continues with the settings of that run, and {given[0]} would change them; leave it "
            "out, or start another run."
        )


def _unfinished(folder: Path) -> RunRecord:
    from ..train.run import RunRecord

    record = RunRecord.read(folder)
    if record.status == "complete":
        raise InputError(f"The run in {folder} is complete and cannot be resumed; start another run.")
    return record


def _json_object(option: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f'{option} {text!r} is not JSON ({error.msg}); write it like {{"width": 64}}.') from None
    if not isinstance(value, dict):
        raise InputError(f'{option} {text!r} is not a JSON object; write it like {{"width": 64}}.')
    return value
