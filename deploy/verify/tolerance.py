"""The allowed difference between the outputs of another runtime and those of PyTorch; every check uses this rule.

    allowed[i, j] = RELATIVE * |y[i, j]| + MARGIN * max_r |y_r[i, j] - y[i, j]| + TINY          (1)

    y[i, j]    output element j of golden input i, as PyTorch computes it in float32
    y_r[i, j]  the same with the rounding errors of another runtime drawn at random, r = 1 .. RUNS

A single tolerance is not enough. An absolute tolerance accepts every error of a network with small outputs. A relative
tolerance rejects a correct output that is the small difference of two large intermediate values. One tolerance for the
whole tensor hides an error in a class with small outputs. So each output element of each golden input has its own.

The first term covers a few roundings of the output itself. The second term uses Monte Carlo arithmetic (Parker 1997,
Monte Carlo Arithmetic: exploiting randomness in floating-point arithmetic). A runtime that adds in another order, fuses
a multiplication with an addition or approximates exp computes the exact result of the operator for slightly different
inputs (backward error; Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1). So the inputs and the
output of each operator are multiplied by 1 + u * sqrt(n) * xi, with xi uniform in [-1, 1]:

    u  2^-23, twice float32's unit roundoff, because exp and tanh of some runtimes have errors of a few units
    n  additions for one output element; the errors of a sum of n terms grow as sqrt(n) (Higham, section 4.2),
       and as n / 12 for terms that may be equal, see `growth`

Functions with the limit 1 (sigmoid; GELU and SiLU are x times such a function) have an absolute error of 2^-24 even if
their value is far below 1: runtimes compute them as 1/2 + p(x) or as 1 + erf(x), and cancellation loses bits.

The resulting differences are proportional to the intermediate values, include cancellation, and grow if the network
amplifies rounding errors. If products are float16 (GPUs, +fp16-products), their operands are rounded to 11 bits, a
relative error of 2^-11 each: 2^-10.5 replaces u * sqrt(n) for them. Sums stay float32.

MARGIN corrects for the maximum of only a few random runs. TINY covers results that one runtime rounds to 0 because they
are below the smallest normal float32. An output that is 0 for every rounding (a dead unit) must be exactly 0.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from ...errors import CheckFailedError
from ...optional import require

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch._ops import OpOverload

RELATIVE = 1e-5
MARGIN = 8.0
RUNS = 8
TINY = 2.0**-122
_ROUNDOFF = 2.0**-23
_HALF_ROUNDOFF = math.pow(2.0, -10.5)  # for both factors of a product together
_SATURATED = 2.0**-24  # spacing of float32 below 1
_MOST_RANDOM = 65_521  # a prime, so that the rows of a weight get different numbers
_COARSE = 1e-4  # part of an input's largest output, used if the network cannot run with random rounding

_PRODUCTS = frozenset(("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot"))
_CONVOLUTIONS = frozenset(("convolution", "_convolution", "mkldnn_convolution", "convolution_overrideable"))
# Operators with the limit 1, or with the logarithm of a sum that has this limit;
# and operators that multiply their input, or its first half, by a function with the limit 1.
_SATURATING = frozenset(("sigmoid", "erfc", "special_erfc", "_log_softmax", "log_softmax", "logsumexp"))
_GATES = frozenset(("silu", "gelu", "mish", "glu"))
_COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "isnan"))
# Operators that compute coordinates of their input; the rounding errors of coordinates grow with the extents.
_WITH_COORDINATES = ("upsample", "grid_sampler")
# Operators that reduce along an axis, although their outputs have the shape of their inputs.
_ALONG_AXES = ("softmax", "norm", "cumsum", "cumprod", "logcumsumexp", "attention", "lstm", "gru", "rnn")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Deviation:
    """The output element with the largest ratio of difference to allowed difference.

    absolute  its difference from PyTorch's output
    relative  the difference divided by the absolute value of PyTorch's output; infinite if that is 0
    allowed   its allowed difference, by equation 1
    passed    whether the differences of all output elements are allowed
    example   index of the golden input, from 0
    element   index of the output element in C order, from 0
    """

    absolute: float
    relative: float
    allowed: float
    passed: bool
    example: int
    element: int

    def __str__(self) -> str:
        return f"{self.absolute:.1e} (relative {self.relative:.1e}, allowed {self.allowed:.1e})"


def deviation(outputs: Floats, expected: Floats, allowed: Floats) -> Deviation:
    """Compare outputs with PyTorch's. All three arrays hold n examples with the same number of elements.

    A value that is not finite fails.
    """
    shape = (len(expected), -1)
    reference, limit = (array.astype(np.float64).reshape(shape) for array in (expected, allowed))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        difference = np.abs(outputs.astype(np.float64).reshape(reference.shape) - reference)
        difference = np.where(np.isnan(difference), np.inf, difference)
        ratio = np.where(difference > 0.0, difference / limit, 0.0)
        worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        size = abs(reference[worst])
        relative = difference[worst] / size if size > 0.0 else (0.0 if difference[worst] == 0.0 else np.inf)
    return Deviation(
        absolute=float(difference[worst]), relative=float(relative), allowed=float(limit[worst]),
        passed=bool(np.all(difference <= limit)), example=int(worst[0]), element=int(worst[1]),
    )  # fmt: skip


def allowed_difference(
    module: Callable[[Tensor], Tensor], inputs: Floats, outputs: Floats, *, half: bool = False
) -> Floats:
    """The allowed difference by equation 1; an array with the shape of `outputs`.

    module   function of a torch tensor with one example (batch axis of 1) that returns a tensor
    inputs   shape (n, ...), finite
    outputs  shape (n, ...), computed by PyTorch, finite
    half     whether the other runtime rounds the operands of products to float16
    """
    require("torch")
    import torch

    spread = np.zeros_like(outputs)
    for index, example in enumerate(inputs):
        tensor = torch.from_numpy(np.array(example[None]))
        with torch.no_grad():
            plain: Floats = module(tensor).numpy()  # not `outputs`: a wrong output must not enlarge its tolerance
        for run in range(RUNS):
            generator = torch.Generator().manual_seed(run // 2)
            try:
                with torch.no_grad(), _random_rounding(generator, 1.0 if run % 2 else -1.0, half=half):
                    difference = np.abs(module(tensor).numpy() - plain)
            except Exception:  # an operator or a user's class that does not support dispatching
                difference = np.full_like(plain, _COARSE / MARGIN * np.abs(plain).max(initial=0.0))
            # Random rounding may leave an operator's domain (acos of a value above 1): ignore that run.
            difference = np.where(np.isfinite(difference), difference, 0.0)
            spread[index] = np.maximum(spread[index], difference.reshape(spread[index].shape))
    allowed = RELATIVE * np.abs(outputs.astype(np.float64)) + MARGIN * spread + TINY
    return np.minimum(allowed, np.finfo(np.float32).max).astype(np.float32)


@contextlib.contextmanager
def _random_rounding(generator: Generator, sign: float, *, half: bool) -> Iterator[None]:
    """Inside the block, every operator of PyTorch rounds at random; see the top of this file.

    sign  1 or -1, a factor of all random numbers. Runs come in pairs of opposite signs, so that a value which rounding
          can change in only one direction (a sigmoid of 1) changes in one run of each pair
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_map

    def rounded(value: object, size: float) -> object:
        if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point:
            return value
        # A value of another precision is rounded to that precision.
        size *= torch.finfo(value.dtype).eps / torch.finfo(torch.float32).eps
        # Repeating the random numbers every 65,521 elements is random enough and much faster.
        numbers = torch.rand(min(value.numel(), _MOST_RANDOM), generator=generator, dtype=torch.float32)
        factors = 1.0 + sign * (2.0 * numbers - 1.0).double() * size
        factors = factors.to(torch.promote_types(value.dtype, torch.float32))
        flat = value.reshape(-1)
        whole = flat.numel() - flat.numel() % max(1, len(numbers))
        product = torch.empty(flat.shape, dtype=factors.dtype)
        if whole:
            torch.mul(flat[:whole].view(-1, len(numbers)), factors, out=product[:whole].view(-1, len(numbers)))
        torch.mul(flat[whole:], factors[: flat.numel() - whole], out=product[whole:])
        return product.to(value.dtype).reshape(value.shape)

    def saturation_error(value: Tensor) -> Tensor:
        """Plus or minus the spacing of float32 below 1, for each element."""
        up = torch.rand(value.shape, generator=generator, dtype=value.dtype) < 0.5
        return torch.where(up, sign * _SATURATED, -sign * _SATURATED).to(value.dtype)

    class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Rounds the inputs and outputs of operators that compute; views and in-place operators are unchanged."""

        def __torch_dispatch__(
            self, func: OpOverload[..., object], types: object, args: tuple[object, ...] = (),
            kwargs: dict[str, object] | None = None,
        ) -> object:  # fmt: skip
            kwargs = kwargs or {}
            schema = func._schema
            # Copying a view's input or the target of an in-place operator would change the meaning of the program.
            name = schema.name.rpartition("::")[2]
            if any(each.alias_info is not None for each in (*schema.arguments, *schema.returns)):
                written = func(*args, **kwargs)
                if name == "sigmoid_" and isinstance(written, torch.Tensor):  # the gates of an LSTM
                    written.add_(saturation_error(written))
                return written
            if name in _COMPARISONS:
                # The operands were rounded when they were computed, and both may be the same value.
                return func(*args, **kwargs)
            exact = func(*args, **kwargs) if name not in _PRODUCTS | _CONVOLUTIONS else None
            size = _ROUNDOFF * growth(name, _shapes(args), _shapes(exact))
            product = name in _PRODUCTS | _CONVOLUTIONS
            operands = _HALF_ROUNDOFF if half and product else size
            # In a sum of products only one factor of each term is rounded; the larger tensor is the weight.
            largest = max(
                (value for value in args if isinstance(value, torch.Tensor)), key=torch.Tensor.numel, default=None
            )
            exempt = largest if product and sum(value is largest for value in args) == 1 else None
            inputs = tree_map(lambda value: value if value is exempt else rounded(value, operands), args)
            results = func(*inputs, **kwargs)
            if name in _SATURATING | _GATES and isinstance(results, torch.Tensor) and results.dtype.is_floating_point:
                results = results + saturation_error(results) * _saturation_factor(name, args, kwargs)
            return tree_map(lambda value: rounded(value, size), results)

    with Mode():  # type: ignore[no-untyped-call]
        yield


def _saturation_factor(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | float:
    """The factor by which an operator multiplies the function with the limit 1."""
    if name in _SATURATING:
        return 1.0
    if name != "glu":
        return cast("Tensor", args[0]).abs()
    axis: int = args[1] if len(args) > 1 else kwargs.get("dim", -1)
    return cast("Tensor", args[0]).chunk(2, axis)[0].abs()


def _shapes(values: object) -> list[tuple[int, ...]]:
    import torch
    from torch.utils._pytree import tree_leaves

    return [tuple(value.shape) for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


def growth(name: str, inputs: Sequence[tuple[int, ...]], outputs: Sequence[tuple[int, ...]]) -> float:
    """The factor of an operator's rounding error: sqrt(n), see the top of this file.

    A sum without products may have equal terms (a plane that contains only a bias); then errors do not cancel and grow
    as n. For operators that compute coordinates, the error grows with the extents.
    """
    if any(part in name for part in _WITH_COORDINATES):
        return float(max((extent for shape in inputs for extent in shape), default=1))
    terms = additions(name, inputs, outputs)
    root = math.sqrt(terms)
    return root if name in _PRODUCTS | _CONVOLUTIONS else max(root, terms / 12.0)


def additions(name: str, inputs: Sequence[tuple[int, ...]], outputs: Sequence[tuple[int, ...]]) -> int:
    """The approximate number n of additions for one output element of the ATen operator `name`.

    inputs   shapes of its input tensors
    outputs  shapes of its output tensors; unused for products and convolutions
    """
    if name in _CONVOLUTIONS and len(inputs) > 1:
        return max(1, math.prod(inputs[1][1:]))
    if name in _PRODUCTS and len(inputs) > 1:
        first = inputs[-2]  # in addmm and similar operators, the first argument is the addend
        return max(1, first[-1] if first else 1)
    largest = max((math.prod(shape) for shape in inputs), default=1)
    smallest = min((math.prod(shape) for shape in outputs), default=1)
    axis = max((extent for shape in inputs for extent in shape), default=1)
    along = any(part in name for part in _ALONG_AXES)
    return max(1, largest // max(1, smallest), axis if along else 1)


def check_outputs(
    outputs: Floats, expected: Floats, allowed: Floats, runtime: str = "An output", *, half: bool = False
) -> Deviation:
    """The deviation of a runtime's outputs. Raises CheckFailedError if a difference is larger than allowed.

    runtime  subject of the error message
    half     whether the runtime rounded the operands of products to float16
    """
    if outputs.size != expected.size:
        raise CheckFailedError(
            f"The runtime returned {outputs.size} outputs, and {expected.size} were expected; build again."
        )
    worst = deviation(outputs, expected, allowed)
    if worst.passed:
        return worst
    output = outputs.reshape(len(expected), -1)[worst.example, worst.element]
    reference = expected.reshape(len(expected), -1)[worst.example, worst.element]
    remedy = "; build without +fp16-products" if half else ""
    if not np.isfinite(output):
        raise CheckFailedError(
            f"{runtime} is wrong: output {worst.element} of golden input {worst.example} is {output} instead of "
            f"{reference:.6g}{remedy}."
        )
    raise CheckFailedError(
        f"{runtime} differs by {worst.absolute:.3g} from PyTorch's, {100 * worst.relative:.3g} % of it: output "
        f"{worst.element} of golden input {worst.example} is {output:.6g} instead of {reference:.6g}, and at most "
        f"{worst.allowed:.2g} is allowed{remedy}."
    )
