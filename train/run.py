"""The run directory: what `train` hands to whoever comes after it, so that nothing needs retraining.

run/
  run.json               RunRecord: method, model, data, settings, seed, versions, metrics by epoch
  initial.safetensors    the network that training started from, by the same names
  posterior.safetensors  the posterior, see BayesianNetwork.posterior_tensors
  checkpoints/           Lightning's last checkpoint, to resume from, and TensorBoard events
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn

from ..confusion import Confusion
from ..errors import InputError, reason_of
from ..files import read_bytes, replacing_file, write_text
from ..metric import ERROR, Metric
from ..record_version import other_version
from .bayesian import BayesianNetwork
from .data import PartName
from .likelihoods import Likelihood, likelihood_of
from .recipe import Recipe

RECORD = "run.json"
VERSION: Literal[2] = 2  # of RunRecord; raised whenever a field changes
POSTERIOR = "posterior.safetensors"
INITIAL = "initial.safetensors"
_LARGEST_RECORD = 64 << 20  # bytes: some 300,000 epochs
CHECKPOINTS = "checkpoints"


def library_versions() -> dict[str, str]:
    """Versions of what a training run depends on."""
    found = {}
    for name in ("bayespress", "torch", "lightning", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


_CHANCE = 0.95  # of the error of a constant answer: what is not below it has learnt nothing


class FinalRecord(_Strict):
    """The finished network, as the method predicts with it."""

    metric: float = Field(description="see RunRecord.measured_by")
    part: PartName = Field(default="test", description="of the data set, that it was measured on")
    nonzero_percent: float = Field(description="of the variational layers' weights")
    constant: float | None = Field(
        default=None, description="error of always answering the most frequent class; none where there are no classes"
    )
    confusion: Confusion | None = Field(
        default=None, description="on the same part; none where there are no classes, or too many to keep counts of"
    )
    labels: tuple[str, ...] = Field(default=(), description="names of its classes")

    @property
    def at_chance(self) -> bool:
        """Whether the network is about as wrong as one that always answers the most frequent class."""
        return self.constant is not None and self.metric >= _CHANCE * self.constant


class EpochRecord(_Strict):
    """One epoch's metrics; see fit.EpochMetrics."""

    epoch: int
    nll: float
    kl: float
    kl_weight: float
    metric: float | None
    sparsity_percent: float
    nonzero_by_layer: dict[str, float] = Field(default_factory=dict)
    mixture: list[tuple[float, float, float]] | None = None


class RunRecord(Recipe):
    """`run.json`: the recipe, and what came of it."""

    version: Literal[2] = VERSION
    status: Literal["running", "complete"] = "running"
    final: FinalRecord | None = None
    measured_by: Metric = Field(default=ERROR, description="what `metric` is, in each epoch and in `final`")
    epochs_measured_on: PartName = Field(default="test", description="part of the data set")
    libraries: dict[str, str] = Field(default_factory=library_versions)
    seconds: float = Field(
        default=0.0, allow_inf_nan=False, description="wall time spent training, all resumptions together"
    )
    metrics: list[EpochRecord] = Field(default_factory=list)
    _read_from: Path | None = PrivateAttr(None)

    def likelihood(self) -> Likelihood | None:
        """The likelihood that the task names; None for the data set's own. Raises InputError as likelihood_of."""
        return None if self.task is None else likelihood_of(self.task.name, self.task.options)

    @property
    def read_from(self) -> Path | None:
        """The run directory that this was read from; None for a record that the caller made."""
        return self._read_from

    def write(self, folder: Path) -> None:
        """Write `run.json` into `folder`."""
        write_text(folder / RECORD, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read and check `folder/run.json`.

        Raises InputError when it is missing, of another version or not of this schema.
        """
        data = read_bytes(folder / RECORD, "run directory's record", _LARGEST_RECORD)
        try:
            record = cls.model_validate_json(data)
        except ValidationError as error:
            if (older := other_version(error, folder / RECORD, VERSION, "train again")) is not None:
                raise older from None
            raise InputError(
                f"{folder / RECORD} is not a run's record: {reason_of(error)}; train again or name another run."
            ) from None
        record._read_from = folder
        return record


def start_from(network: nn.Module, folder: Path) -> None:
    """Load the posterior means of the run in `folder` into `network`.

    Raises InputError when the run has no posterior or it is of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / POSTERIOR
    if not path.is_file():
        raise InputError(f"There is no {POSTERIOR} in {folder} to start from; name a run that is complete.")
    try:
        tensors = {name: tensor for name, tensor in load_file(path).items() if "/" not in name}
        own = {name: value for name, value in network.state_dict().items() if not isinstance(value, Tensor)}
        network.load_state_dict(own | tensors)  # extra state that is no tensor stays the model's own
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(
            f"The run in {folder} does not fit the network ({reason_of(error)}); start from one of the same model."
        ) from error


def write_initial(network: nn.Module, path: Path) -> None:
    """Keep what training starts from, for the pictures of before and after.

    Raises InputError when the file cannot be written; nothing was trained then.
    """
    state = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)
    }  # fmt: skip
    _save(state, path, {}, remedy="make room there, then give the same command again")


def write_posterior(net: BayesianNetwork, path: Path, *, remedy: str = "make room there") -> None:
    """Write `net.posterior_tensors()` as safetensors. Log alpha is log(variance / mean^2) and is not stored.

    Raises InputError, which ends with `remedy`, when the file cannot be written.
    """
    _save(net.posterior_tensors(), path, {"format": "bayespress posterior 1"}, remedy=remedy)


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str], *, remedy: str) -> None:
    """Raises InputError, which ends with `remedy`, when the file cannot be written."""
    from safetensors import SafetensorError

    with replacing_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata or None)
        except SafetensorError as error:  # also what the system says of a full disk
            raise InputError(f"{path} cannot be written ({reason_of(error)}); {remedy}.") from error
