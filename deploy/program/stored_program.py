"""Reading a torch.export program from a file without running anything that the file says.

`torch.export.load` is not meant for files of strangers: it unpickles sample inputs, constants and custom objects,
hands symbolic sizes to sympy's parser (which evaluates Python), loads compiled libraries, imports the modules of
enumerations, and puts names of the graph and `guards_code` into Python source that it executes. Here the archive is
read with `zipfile`; tensors come from raw bytes, the graph by a schema that has no place for any of these
(program_schema.py), and only then does PyTorch build the program from the graph. Sample inputs are never read.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from ...errors import CorruptFileError, reason_of
from ...optional import require
from ...text import printable
from .schema import PayloadConfig, Program

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

LARGEST_GRAPH = 256 << 20  # bytes of models/model.json; ten thousand operators take about 20 MB
LARGEST_ARCHIVE = 16 << 30  # bytes of all members together
MOST_MEMBERS = 65_536
_LONGEST_REASON = 200  # characters

_MODEL = "models/model.json"
_MEMBER = re.compile(
    r"data/weights/(weight_\d{1,7}|model_weights_config\.json)|data/constants/(tensor_\d{1,7}|model_constants_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder"
    r"|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
)


def read_program(path: Path) -> ExportedProgram:
    """The torch.export program in the archive `path`, without sample inputs.

    Raises CorruptFileError for a file that is no such archive, or that holds more than a network of PyTorch's own
    operators with fixed sizes: pickles, compiled code, custom objects, symbolic sizes, guards.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path.stat().st_size)
            program = Program.model_validate_json(_read(archive, members, _MODEL))
            weights = _tensors(archive, members, "data/weights/", "model_weights_config.json", "weight_")
            constants = _tensors(archive, members, "data/constants/", "model_constants_config.json", "tensor_")
        return _built(program, weights, constants)
    except ValidationError as error:
        raise CorruptFileError(
            f"{path} does not hold a network of fixed sizes and PyTorch's own operators alone ({reason_of(error)}); "
            "make it again with `bayespress compress`."
        ) from None
    except Exception as error:
        # zipfile raises ten types on damaged archives, torch as many on graphs that contradict themselves; torch's own
        # sentence prints the whole graph, its cause does not.
        reason = reason_of(error.__cause__ or error)[:_LONGEST_REASON]
        raise CorruptFileError(f"{path} is not a torch.export program ({reason}); compress again.") from error


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Members by their name below the archive's one folder. Nothing is unpacked, and nothing unexpected is there."""
    entries = archive.infolist()
    if len(entries) > MOST_MEMBERS:
        raise ValueError(f"it has {len(entries)} members, more than {MOST_MEMBERS}")
    root = entries[0].filename.partition("/")[0] if entries else ""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        folder, _, name = entry.filename.partition("/")
        shown = printable(entry.filename[:100])
        if folder != root or folder in ("", ".", "..") or _MEMBER.fullmatch(name) is None:
            raise ValueError(f"its member '{shown}' is none of a network's")
        if name in found:
            raise ValueError(f"its member '{shown}' is there twice")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            raise ValueError(f"its member '{shown}' is not stored plainly")
        found[name] = entry
    total = sum(entry.file_size for entry in entries)
    if total > min(size, LARGEST_ARCHIVE):
        raise ValueError(f"its members claim {total} bytes of a file of {size}")
    for name, expected in (("archive_format", b"pt2"), ("archive_version", b"0"), ("byteorder", b"little")):
        if _read(archive, found, name) != expected:
            raise ValueError(f"its {name} is not {expected.decode()!r}")
    return found


def _read(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    if name not in members:
        raise ValueError(f"it has no member {name!r}")
    if name.endswith(".json") and members[name].file_size > LARGEST_GRAPH:
        raise ValueError(f"its member {name!r} is larger than {LARGEST_GRAPH} bytes")
    return archive.read(members[name])


def _tensors(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], folder: str, config: str, prefix: str
) -> dict[str, Tensor]:
    """Tensors by name, from raw bytes. Two names of one payload share its memory, as they did when it was saved."""
    require("torch")
    import torch
    from torch._export.serde import serialize

    table = PayloadConfig.model_validate_json(_read(archive, members, folder + config)).config
    storages: dict[str, Tensor] = {}
    tensors: dict[str, Tensor] = {}
    for name, payload in table.items():
        if not payload.path_name.startswith(prefix):
            raise ValueError(f"tensor '{name}' is in '{printable(payload.path_name[:60])}'")
        if payload.path_name not in storages:
            data = np.frombuffer(_read(archive, members, folder + payload.path_name), np.uint8)
            storages[payload.path_name] = torch.empty(len(data), dtype=torch.uint8)
            storages[payload.path_name].numpy()[:] = data
        storage, meta = storages[payload.path_name], payload.tensor_meta
        dtype = serialize._SERIALIZE_TO_TORCH_DTYPE[meta.dtype]
        sizes, strides = ([axis.as_int for axis in axes] for axes in (meta.sizes, meta.strides))
        if math.prod(sizes) * dtype.itemsize > len(storage) or len(storage) % dtype.itemsize:
            raise ValueError(f"tensor '{name}' of shape {tuple(sizes)} has {len(storage)} bytes")
        # as_strided checks that it stays within the storage.
        tensor = storage.view(dtype).as_strided(sizes, strides, meta.storage_offset.as_int)
        if payload.is_param:
            tensor = torch.nn.Parameter(tensor, requires_grad=meta.requires_grad and dtype.is_floating_point)
        tensors[name] = tensor
    return tensors


def _built(program: Program, weights: dict[str, Tensor], constants: dict[str, Tensor]) -> ExportedProgram:
    """PyTorch's program of a checked graph."""
    require("torch")
    from torch._export.serde import schema, serialize

    as_dataclass: Callable[[type, object], schema.ExportedProgram] = serialize._dict_to_dataclass
    graph = as_dataclass(schema.ExportedProgram, program.plain())
    return serialize.ExportedProgramDeserializer().deserialize(graph, weights, constants, None)
