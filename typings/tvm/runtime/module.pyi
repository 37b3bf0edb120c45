from collections.abc import Callable, Sequence

import tvm_ffi
from tvm_ffi import Device

class BenchmarkResult:
    # Seconds.
    results: Sequence[float]
    mean: float
    def __init__(self, results: Sequence[float]) -> None: ...

class Module(tvm_ffi.Module):
    def time_evaluator(
        self,
        func_name: str,
        dev: Device,
        number: int = 10,
        repeat: int = 1,
        min_repeat_ms: int = 0,
        limit_zero_time_iterations: int = 100,
        cooldown_interval_ms: int = 0,
        repeats_to_cooldown: int = 1,
        cache_flush_bytes: int = 0,
        f_preproc: str = "",
    ) -> Callable[..., BenchmarkResult]: ...
