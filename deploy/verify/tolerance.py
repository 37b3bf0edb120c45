"""How far an output of another runtime may be from PyTorch's: the one rule that every check in this package uses.

    allowed[i, j] = RELATIVE * |y[i, j]| + MARGIN * max_r |y_r[i, j] - y[i, j]| + TINY          (1)

    y[i, j]    output element j of golden input i, as PyTorch computes it in float32
    y_r[i, j]  the same with the rounding errors of another runtime drawn at random, r = 1 .. RUNS

No single number can be right. An absolute one passes every error of a network whose outputs are small; a relative one
refuses a right output that is the small difference of two large intermediate values; and one for the whole tensor
hides a wrong class behind a class of larger outputs. So each output element of each golden input has its own.

The first term covers a few roundings of the output itself. The second is Monte Carlo arithmetic (Parker 1997, Monte
Carlo Arithmetic: exploiting randomness in floating-point arithmetic). A runtime that adds in another order, fuses a
multiplication with an addition or approximates exp computes exactly the operator of inputs that are a little different
(backward error; Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1). So each operator gets inputs
that are multiplied by 1 + u * sqrt(n) * xi, and so is its output, with xi uniform in [-1, 1]:

    u  2^-23, twice float32's unit roundoff, as some runtimes' exp and tanh are a few units off
    n  additions behind one output element; the errors of a sum of n terms grow as sqrt(n) (Higham, section 4.2),
       and as n / 12 for terms that may be equal, see `growth`

Functions that level off at 1 (sigmoid; GELU and SiLU are x times such a function) are off by 2^-24 of that 1 even where
their value is far below it: runtimes compute them as 1/2 + p(x), or as 1 + erf(x), and what cancels is lost.

What then reaches the outputs is in proportion to the intermediate values, cancellation included, and a network that
amplifies rounding gets the room that it needs. Where products are float16 (GPUs, +fp16-products), the operands of
products
are rounded to 11 bits instead, 2^-11 each: 2^-10.5 takes the place of u * sqrt(n) for them; sums stay float32.

MARGIN makes up for a largest value of few random runs. TINY covers results that one runtime rounds to 0 because they
are below the smallest normal float32. An output that is 0 whatever is rounded (a dead unit) has to be 0 everywhere.
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
_HALF_ROUNDOFF = math.pow(2.0, -10.5)  # of both factors at once
_LEVELLED = 2.0**-24  # spacing of float32 below 1
_MOST_RANDOM = 65_521  # a prime, so that rows of a weight do not get the same numbers
_COARSE = 1e-4  # of the largest output of an input, where the network cannot be run with random roundings

_PRODUCTS = frozenset(("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot"))
_CONVOLUTIONS = frozenset(("convolution", "_convolution", "mkldnn_convolution", "convolution_overrideable"))
# Operators that level off at 1, or take the logarithm of a sum that does;
# and those that multiply their input, or its first half, by a function that does.
_LEVELLING = frozenset(("sigmoid", "erfc", "special_erfc", "_log_softmax", "log_softmax", "logsumexp"))
_GATES = frozenset(("silu", "gelu", "mish", "glu"))
_COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "isnan"))
# Operators that compute the places of what they read: those are rounded, too, in proportion to the extents.
_BY_PLACES = ("upsample", "grid_sampler")
# Operators whose outputs have the shape of their inputs, though each is made of all values on an axis.
_ALONG_AXES = ("softmax", "norm", "cumsum", "cumprod", "logcumsumexp", "attention", "lstm", "gru", "rnn")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Deviation:
    """Where outputs differ most from PyTorch's, in parts of what is allowed.

    absolute  difference of that output element
    relative  the same in parts of that element's size; infinite where the size is 0
    allowed   by equation 1
    passed    whether all outputs are within what is allowed
    example   which golden input, from 0
    element   which output element of it, in C order, from 0
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
    """Compare outputs with PyTorch's; all three arrays are of n examples with the same number of elements each.

    The element that is reported is the one whose difference is the largest part of what is allowed. Values that are not
    finite fail.
    """
    shape = (len(expected), -1)
    wanted, limit = (array.astype(np.float64).reshape(shape) for array in (expected, allowed))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        difference = np.abs(outputs.astype(np.float64).reshape(wanted.shape) - wanted)
        difference = np.where(np.isnan(difference), np.inf, difference)
        part = np.where(difference > 0.0, difference / limit, 0.0)
        worst = np.unravel_index(int(np.argmax(part)), part.shape)
        size = abs(wanted[worst])
        relative = difference[worst] / size if size > 0.0 else (0.0 if difference[worst] == 0.0 else np.inf)
    return Deviation(
        absolute=float(difference[worst]), relative=float(relative), allowed=float(limit[worst]),
        passed=bool(np.all(difference <= limit)), example=int(worst[0]), element=int(worst[1]),
    )  # fmt: skip


def allowed_difference(
    module: Callable[[Tensor], Tensor], inputs: Floats, outputs: Floats, *, half: bool = False
) -> Floats:
    """Equation 1 for each output element, in the shape of `outputs`.

    module   takes one example with a batch axis of 1 as a torch tensor, and gives one tensor
    inputs   (n, ...), finite
    outputs  (n, ...), of PyTorch, finite
    half     the operands of products are float16 there
    """
    require("torch")
    import torch

    spread = np.zeros_like(outputs)
    for index, example in enumerate(inputs):
        tensor = torch.from_numpy(np.array(example[None]))
        with torch.no_grad():
            plain: Floats = module(tensor).numpy()  # not `outputs`, which may be wrong, and would then be allowed to be
        for run in range(RUNS):
            generator = torch.Generator().manual_seed(run // 2)
            try:
                with torch.no_grad(), _random_rounding(generator, 1.0 if run % 2 else -1.0, half=half):
                    difference = np.abs(module(tensor).numpy() - plain)
            except Exception:  # an operator, or a user's own class, that does not take part in dispatching
                difference = np.full_like(plain, _COARSE / MARGIN * np.abs(plain).max(initial=0.0))
            # A random rounding may leave an operator's domain (acos of 1 and a little): that run says nothing.
            difference = np.where(np.isfinite(difference), difference, 0.0)
            spread[index] = np.maximum(spread[index], difference.reshape(spread[index].shape))
    allowed = RELATIVE * np.abs(outputs.astype(np.float64)) + MARGIN * spread + TINY
    return np.minimum(allowed, np.finfo(np.float32).max).astype(np.float32)


@contextlib.contextmanager
def _random_rounding(generator: Generator, sign: float, *, half: bool) -> Iterator[None]:
    """Inside, every operator of PyTorch rounds at random; see the top of this file.

    sign  1 or -1, of all that is drawn. Runs come in pairs of opposite signs, so that a value which one rounding can
          move in one direction alone (a sigmoid that is 1) is moved for certain
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_map

    def rounded(value: object, size: float) -> object:
        if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point:
            return value
        # What a network computes in another precision is rounded to that one.
        size *= torch.finfo(value.dtype).eps / torch.finfo(torch.float32).eps
        # Random numbers that are used again every 65,521 elements are random enough, and much quicker.
        few = torch.rand(min(value.numel(), _MOST_RANDOM), generator=generator, dtype=torch.float32)
        factors = (1.0 + sign * (2.0 * few - 1.0).double() * size).to(torch.promote_types(value.dtype, torch.float32))
        flat = value.reshape(-1)
        whole = flat.numel() - flat.numel() % max(1, len(few))
        made = torch.empty(flat.shape, dtype=factors.dtype)
        if whole:
            torch.mul(flat[:whole].view(-1, len(few)), factors, out=made[:whole].view(-1, len(few)))
        torch.mul(flat[whole:], factors[: flat.numel() - whole], out=made[whole:])
        return made.to(value.dtype).reshape(value.shape)

    def levelled(value: Tensor) -> Tensor:
        """One spacing of float32 below 1, up or down, for each element."""
        up = torch.rand(value.shape, generator=generator, dtype=value.dtype) < 0.5
        return torch.where(up, sign * _LEVELLED, -sign * _LEVELLED).to(value.dtype)

    class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Rounds the inputs and the outputs of what computes; views and writes in place pass as they are."""

        def __torch_dispatch__(
            self, func: OpOverload[..., object], types: object, args: tuple[object, ...] = (),
            kwargs: dict[str, object] | None = None,
        ) -> object:  # fmt: skip
            kwargs = kwargs or {}
            schema = func._schema
            # A copy in the place of a view's input, or of what is written to, would change what the program means.
            name = schema.name.rpartition("::")[2]
            if any(each.alias_info is not None for each in (*schema.arguments, *schema.returns)):
                written = func(*args, **kwargs)
                if name == "sigmoid_" and isinstance(written, torch.Tensor):  # the gates of an LSTM
                    written.add_(levelled(written))
                return written
            if name in _COMPARISONS:
                return func(*args, **kwargs)  # what is compared was rounded where it was made, and may be one number
            exact = func(*args, **kwargs) if name not in _PRODUCTS | _CONVOLUTIONS else None
            size = _ROUNDOFF * growth(name, _shapes(args), _shapes(exact))
            product = name in _PRODUCTS | _CONVOLUTIONS
            operands = _HALF_ROUNDOFF if half and product else size
            # A term of a sum of products is rounded by way of one of its factors; the larger tensor is the weight.
            largest = max(
                (each for each in args if isinstance(each, torch.Tensor)), key=torch.Tensor.numel, default=None
            )
            spared = largest if product and sum(each is largest for each in args) == 1 else None
            results = func(*tree_map(lambda each: each if each is spared else rounded(each, operands), args), **kwargs)
            if name in _LEVELLING | _GATES and isinstance(results, torch.Tensor) and results.dtype.is_floating_point:
                results = results + levelled(results) * _height(name, args, kwargs)
            return tree_map(lambda each: rounded(each, size), results)

    with Mode():  # type: ignore[no-untyped-call]
        yield


def _height(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | float:
    """What the function that levels off is multiplied by, where it goes to 1."""
    if name in _LEVELLING:
        return 1.0
    if name != "glu":
        return cast("Tensor", args[0]).abs()
    axis: int = args[1] if len(args) > 1 else kwargs.get("dim", -1)
    return cast("Tensor", args[0]).chunk(2, axis)[0].abs()


def _shapes(values: object) -> list[tuple[int, ...]]:
    import torch
    from torch.utils._pytree import tree_leaves

    return [tuple(each.shape) for each in tree_leaves(values) if isinstance(each, torch.Tensor)]


def growth(name: str, inputs: Sequence[tuple[int, ...]], outputs: Sequence[tuple[int, ...]]) -> float:
    """What the rounding of an operator is multiplied by: sqrt(n), as this file's description says.

    Sums without products may be of equal terms, as of a plane that holds nothing but a bias; then errors do not cancel
    and grow as n. Operators that compute places round them in proportion to the extents.
    """
    if any(part in name for part in _BY_PLACES):
        return float(max((extent for shape in inputs for extent in shape), default=1))
    terms = additions(name, inputs, outputs)
    root = math.sqrt(terms)
    return root if name in _PRODUCTS | _CONVOLUTIONS else max(root, terms / 12.0)


def additions(name: str, inputs: Sequence[tuple[int, ...]], outputs: Sequence[tuple[int, ...]]) -> int:
    """Additions behind one output element of the ATen operator `name`, about: n of this file's description.

    inputs, outputs  shapes of its tensors; for products and convolutions, `outputs` is not looked at
    """
    if name in _CONVOLUTIONS and len(inputs) > 1:
        return max(1, math.prod(inputs[1][1:]))
    if name in _PRODUCTS and len(inputs) > 1:
        first = inputs[-2]  # addmm and its like begin with what is added
        return max(1, first[-1] if first else 1)
    largest = max((math.prod(shape) for shape in inputs), default=1)
    smallest = min((math.prod(shape) for shape in outputs), default=1)
    axis = max((extent for shape in inputs for extent in shape), default=1)
    along = any(part in name for part in _ALONG_AXES)
    return max(1, largest // max(1, smallest), axis if along else 1)


def check_outputs(
    outputs: Floats, expected: Floats, allowed: Floats, runtime: str = "An output", *, half: bool = False
) -> Deviation:
    """The deviation of a runtime's outputs. Raises CheckFailedError, one sentence, when one is more than is allowed.

    runtime  begins the sentence
    half     products were float16 there
    """
    if outputs.size != expected.size:
        raise CheckFailedError(f"{outputs.size} outputs came, and {expected.size} were expected; build again.")
    found = deviation(outputs, expected, allowed)
    if found.passed:
        return found
    got = outputs.reshape(len(expected), -1)[found.example, found.element]
    wanted = expected.reshape(len(expected), -1)[found.example, found.element]
    remedy = "; build without +fp16-products" if half else ""
    if not np.isfinite(got):
        raise CheckFailedError(
            f"{runtime} is wrong: output {found.element} of golden input {found.example} is {got} in place of "
            f"{wanted:.6g}{remedy}."
        )
    raise CheckFailedError(
        f"{runtime} differs by {found.absolute:.3g} from PyTorch's, {100 * found.relative:.3g} % of it: output "
        f"{found.element} of golden input {found.example} is {got:.6g} in place of {wanted:.6g}, and at most "
        f"{found.allowed:.2g} is allowed{remedy}."
    )
