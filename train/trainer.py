"""Lightning's Trainer as `fit` sets it up, and which of its arguments the caller may give."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ..errors import InputError, reason_of, unknown_name
from .checkpoints import LAST, WholeCheckpoints
from .checkpoints import Checkpoint as ReadCheckpoint

# Arguments of the Trainer that fit sets: what to give fit instead.
_SET_BY_FIT = {
    "max_epochs": "give epochs=",
    "precision": "give autocast=",
    "devices": "give devices= to fit itself",
    "strategy": "give strategy= to fit itself",
    "callbacks": "give callbacks= to fit itself",
    "logger": "give logger= to fit itself",
    "enable_progress_bar": "give progress=",
    "enable_checkpointing": "give folder=, or a ModelCheckpoint among callbacks=",
    "plugins": "leave it out, since checkpoints are written through one",
    "use_distributed_sampler": "leave it out, since loaders of train.data.batches share out their batches themselves",
}


class _LastCheckpoint(ModelCheckpoint):  # type: ignore[misc]
    """One file, overwritten after each epoch. (Lightning's save_last alone writes at the very end only.)

    A class of its own, since Lightning takes two callbacks of one class and settings for one given twice.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            dirpath=folder,
            filename=LAST.removesuffix(".ckpt"),
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )


def checked_arguments(arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments for the Trainer. Raises InputError for one that fit sets itself, and for one that there is not."""
    if not isinstance(arguments, Mapping | None):
        raise InputError(
            f"The trainer's arguments are a {type(arguments).__name__}; give a dictionary of names and values."
        )
    known = [name for name in inspect.signature(lightning.Trainer).parameters if name not in _SET_BY_FIT]
    for name, value in (arguments or {}).items():
        if name in _SET_BY_FIT:
            raise InputError(f"The trainer's argument {name} is set by fit ({value!r} was given); {_SET_BY_FIT[name]}.")
        if name not in known:
            raise unknown_name("argument of Lightning's Trainer", name, known)
    return dict(arguments or {})


def checked_callbacks(callbacks: Callback | Iterable[Callback]) -> list[Callback]:
    """The callbacks as a list. Raises InputError for something that is none."""
    given = [callbacks] if isinstance(callbacks, Callback) else callbacks
    for each in given if isinstance(given, Iterable) else [given]:
        if not isinstance(each, Callback):
            raise InputError(
                f"A {type(each).__name__} was given among the callbacks; give lightning.pytorch.callbacks.Callback "
                "objects, and to hear of each epoch a function as report=."
            )
    return list(given)


def chosen_logger(logger: Logger | Iterable[Logger] | bool | None, folder: Path | None) -> Logger | list[Logger] | bool:
    """The logger to train with; None and True stand for TensorBoard's in `folder`, None for none without a folder.

    Raises InputError for True without a folder, and for something that is no logger.
    """
    if logger is True and folder is None:
        raise InputError("logger=True writes TensorBoard's events, and there is no folder for them; give fit folder=.")
    if logger is None or logger is True:
        return False if folder is None else TensorBoardLogger(str(folder), name=None, version="tensorboard")
    if logger is False or isinstance(logger, Logger):
        return logger
    given = list(logger) if isinstance(logger, Iterable) else [logger]
    for each in given:
        if not isinstance(each, Logger):
            raise InputError(
                f"A {type(each).__name__} was given as logger; give a lightning.pytorch.loggers.Logger, True or False."
            )
    return given


def make_trainer(
    *,
    epochs: int,
    autocast: str,
    devices: int | str,
    strategy: str,
    share_batches: bool,
    folder: Path | None,
    resumed: ReadCheckpoint | None,
    bar: ProgressBar | None,
    logger: Logger | list[Logger] | bool,
    callbacks: list[Callback],
    arguments: Mapping[str, Any],
) -> lightning.Trainer:
    """The Trainer.

    share_batches  let Lightning share out batches among processes
    folder         where a checkpoint is written after each epoch, if anywhere
    bar            progress bar, unless there is another among `callbacks`
    arguments      further ones, from checked_arguments

    Raises InputError for what Lightning does not take.
    """
    callbacks = list(callbacks)
    if bar is not None and not any(isinstance(each, ProgressBar) for each in callbacks):
        callbacks.append(bar)
    if folder is not None:
        callbacks.append(_LastCheckpoint(folder))
    try:
        return lightning.Trainer(
            max_epochs=epochs,
            devices=devices,
            strategy=strategy,
            precision=autocast,
            use_distributed_sampler=share_batches,
            logger=logger,
            callbacks=callbacks,
            plugins=[WholeCheckpoints(folder, resumed)],
            enable_checkpointing=any(isinstance(each, Checkpoint) for each in callbacks),
            enable_progress_bar=any(isinstance(each, ProgressBar) for each in callbacks),
            **{"accelerator": "auto", "enable_model_summary": False, "num_sanity_val_steps": 0, **arguments},
        )
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as error:
        further = "".join(f", {name} {value!r}" for name, value in arguments.items())
        raise InputError(
            f"Training cannot use devices {devices!r}, strategy {strategy!r}{further} ({reason_of(error)}); leave them "
            "out, or give what Lightning takes."
        ) from error
