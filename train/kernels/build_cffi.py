"""Builds `bayespress.train.kernels._kl` from kl.c; setup.py names it, nothing imports it at run time."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).resolve().parent

ffibuilder = FFI()
ffibuilder.cdef(
    """
    double bp_log_uniform_kl(size_t count, const float *mean, const float *log_variance);
    void bp_log_uniform_kl_gradient(size_t count, const float *mean, const float *log_variance, float outer,
                                    float *by_mean, float *by_log_variance);
    void bp_log_uniform_kl_chain(size_t count, const float *mean, const float *log_variance, float outer,
                                 float *by_mean, float *by_log_variance);
    typedef struct { float log_odds, log_peak, precision1, precision2; } bp_mixture;
    double bp_mixture_kl(size_t count, const float *mean, const float *deviation, const float *noise,
                         const bp_mixture *prior);
    void bp_mixture_kl_gradient(size_t count, const float *mean, const float *deviation, const float *noise,
                                const bp_mixture *prior, float outer, float *by_mean, float *by_deviation);
    void bp_gaussian_output(size_t count, const float *mean, const float *variance, float tiny, float *noise,
                            float *output);
    """
)
ffibuilder.set_source(
    "bayespress.train.kernels._kl",
    '#include "kl.h"',
    sources=["train/kernels/kl.c"],  # setuptools wants them relative to setup.py
    include_dirs=[str(_HERE)],
    # Sums may be reordered where the loop says so, products and sums fused; nothing else of fast mathematics.
    extra_compile_args=[
        "-std=gnu99", "-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    ],
)  # fmt: skip
