"""Checkpoints that are whole: written beside their final name, the one before kept until the new one is there.

folder/
  last.ckpt      the newest
  previous.ckpt  the one before
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from ..errors import CorruptFileError, InputError, reason_of
from ..files import replacing_file

LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
_FIELDS = {
    "state_dict": dict, "optimizer_states": list, "lr_schedulers": list, "loops": dict, "epoch": int,
    "global_step": int, "random_state": Tensor, "prior_started": bool, "optimizer": str,
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and is whole; `note` says what was wrong with a newer one, if there was one."""

    path: Path
    content: dict[str, Any]
    note: str | None = None


class WholeCheckpoints(CheckpointIO):  # type: ignore[misc]
    """Lightning's way to its checkpoints. Its own writes by way of another file system, and not to the disk.

    folder   where training goes on from, if anywhere; of a checkpoint elsewhere, as a callback of the caller's may
             write, none is kept beside it
    resumed  what is gone on from
    """

    def __init__(self, folder: Path | None = None, resumed: Checkpoint | None = None) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._resumed = resumed
        # A file that is not whole must not take the place of the one before, which is.
        self._newest_is_whole = resumed is not None and resumed.path.name == LAST
        self._reads_back = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ARG002
        """Write `checkpoint`; what was at `path` becomes the previous one.

        Raises InputError if that fails, and for content that could not be read again.
        """
        path = Path(path)
        last = path.name == LAST and path.parent.resolve() == self._folder
        if last and not self._reads_back:  # the first time only: later ones have the same kinds of content
            _check_reads_back(checkpoint)
            self._reads_back = True
        try:
            with replacing_file(path) as temporary:
                torch.save(checkpoint, temporary)
                if last and self._newest_is_whole:
                    with contextlib.suppress(FileNotFoundError):
                        path.replace(path.with_name(PREVIOUS))
        except (InputError, OSError, RuntimeError) as error:  # PyTorch's own writer hides what the system said
            raise InputError(
                f"The checkpoint {path} cannot be written ({reason_of(error)}); make room there, then go on with "
                "--resume from the one before."
            ) from error
        self._newest_is_whole = self._newest_is_whole or last

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:  # noqa: ARG002
        """What `read_checkpoint` found."""
        if self._resumed is None:
            raise InputError(f"{path} was not read before training; resume through fit.")
        return self._resumed.content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint in `folder`, whole or not."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def remove_checkpoints(folder: Path) -> None:
    """Remove those of an earlier run. Raises InputError when they cannot be removed."""
    try:
        for name in (LAST, PREVIOUS):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder / name} cannot be removed ({error.strerror}); remove it by hand.") from error


def read_checkpoint(folder: Path, expected: Mapping[str, Any]) -> Checkpoint:
    """The newest whole checkpoint in `folder`.

    expected  the state dict of what is to be resumed: names, and shapes of tensors

    Raises InputError when there is none, CorruptFileError when none is whole and of this network.
    """
    faults = []
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            content = _read(path, expected)
        except CorruptFileError as error:
            faults.append(str(error))
            continue
        note = None
        if name == PREVIOUS:
            note = f"{faults[0] if faults else f'{folder / LAST} is missing'}; going on from {path}, an epoch earlier"
        return Checkpoint(path, content, note)
    if not faults:
        raise InputError(f"There is no checkpoint {folder / LAST} to resume from; train without --resume first.")
    raise CorruptFileError(f"{' and '.join(faults)}; remove {folder}, and --resume trains from the beginning.")


def _read(path: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Raises CorruptFileError with a clause, not a sentence."""
    try:
        if not path.is_file():
            raise CorruptFileError(f"{path} is no file")
        if path.stat().st_size == 0:
            raise CorruptFileError(f"{path} is empty")
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise CorruptFileError(f"{path} is no checkpoint, whose parts are never compressed")
            if (damaged := archive.testzip()) is not None:
                raise CorruptFileError(f"{path} is damaged in its part {damaged}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except CorruptFileError:
        raise
    except zipfile.BadZipFile:
        raise CorruptFileError(f"{path} is no whole checkpoint, but cut short or another file") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged or foreign pickle raises nearly anything
        raise CorruptFileError(f"{path} cannot be read as a checkpoint ({reason_of(error)})") from None
    fields = content if isinstance(content, dict) else {}
    for field, kind in _FIELDS.items():
        if not isinstance(fields.get(field), kind):
            raise CorruptFileError(f"{path} is no checkpoint of a training run of bayespress (field {field})")
    state = fields["state_dict"]
    for name in sorted({*expected, *state}):
        if name not in state or name not in expected:
            place = "network" if name not in state else "checkpoint"
            raise CorruptFileError(f"{path} is of another network (only the {place} has {name})")
        if isinstance(expected[name], Tensor) and (
            not isinstance(state[name], Tensor) or state[name].shape != expected[name].shape
        ):
            raise CorruptFileError(f"{path} is of another network (the shape of {name} differs)")
    return fields


def check_extra_state(state: Mapping[str, Any]) -> None:
    """Refuse extra state of modules that a checkpoint could not be read with. Raises InputError."""
    extra = {name: value for name, value in state.items() if not isinstance(value, Tensor)}
    if extra and (reason := _why_lost(extra)) is not None:
        raise _unkept(f"{', '.join(extra)} (from get_extra_state)", reason)


def _check_reads_back(checkpoint: Mapping[str, Any]) -> None:
    """Refuse what a callback, an optimiser or a schedule adds and a checkpoint could not be read with.

    Raises InputError that names it.
    """
    if (reason := _why_lost(checkpoint)) is None:
        return
    for name, value in checkpoint.items():
        parts = {f"{name} of {key}": part for key, part in value.items()} if name == "callbacks" else {name: value}
        for part, held in parts.items():
            if _why_lost(held) is not None:
                raise _unkept(f"The state {part}", reason)
    raise _unkept("What training keeps", reason)


def _why_lost(value: Any) -> str | None:
    """Why torch.load, which builds no objects of unknown classes, could not read this again; None if it could."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception as error:  # whatever pickling an object of the user's raises
        return reason_of(error)
    return None


def _unkept(what: str, reason: str) -> InputError:
    return InputError(
        f"{what} cannot be kept in a checkpoint ({reason}); return numbers, strings, tensors, or lists and dicts of "
        "them."
    )
