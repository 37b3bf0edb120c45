#include "kl.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* One object for every processor of the family: the loader picks the widest vectors that there are. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST
#endif

/* Molchanov et al. 2017, equation 14; TINY as in train/kl.py. */
#define K1    0.63576f
#define K2    1.87320f
#define K3    1.48695f
#define TINY  1e-8f
#define BLOCK 1024 /* floats that one float sum runs over */

static inline float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* exp(x), to 2 units in the last place, of x held within +-30, beyond which no sigmoid changes by more than 1e-13.
 * Without branches, so that loops become vectors: x = n log 2 + r, |r| <= log(2) / 2, and exp(r) by its series. */
static inline float exponential(float x) {
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves a whole number in the low bits */
    x = x < -30.0f ? -30.0f : x;
    x = x > 30.0f ? 30.0f : x;
    float shifted = x * 1.44269504f + round;
    float n = shifted - round;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * from_bits((to_bits(shifted) + 127u) << 23);
}

/* log(x) of a normal x > 0: x = 2^e (1 + f), 1 + f in [sqrt 1/2, sqrt 2), and a polynomial fitted to
 * log(1 + f) / f on Chebyshev nodes there; no division, which would cost more than all the rest. */
static inline float logarithm(float x) {
    const uint32_t root_half = 0x3f3504f3u;
    uint32_t offset = to_bits(x) - root_half;
    int32_t e = (int32_t)offset >> 23;
    float f = from_bits((offset & 0x7fffffu) + root_half) - 1.0f;
    float p = 0.0874394535f;
    p = p * f - 0.143773306f;
    p = p * f + 0.149490955f;
    p = p * f - 0.16560696f;
    p = p * f + 0.199569775f;
    p = p * f - 0.250021535f;
    p = p * f + 0.333341833f;
    p = p * f - 0.49999987f;
    p = p * f + 0.999999974f;
    return (float)e * 0.693147181f + p * f;
}

WIDEST double bp_log_uniform_kl(size_t count, const float *mean, const float *log_variance) {
    double total = 0.0;
    for (size_t start = 0; start < count; start += BLOCK) {
        size_t end = count - start < BLOCK ? count : start + BLOCK;
        float block = 0.0f;
#pragma omp simd reduction(+ : block)
        for (size_t i = start; i < end; i++) {
            float square = mean[i] * mean[i] + TINY;
            float log_alpha = log_variance[i] - logarithm(square);
            float s = 1.0f / (1.0f + exponential(K2 + K3 * log_alpha));
            /* log(1 + 1/alpha): of alpha itself where that is large, for log(sum) - log would cancel */
            float inverse = exponential(-log_alpha);
            block += K1 * s + 0.5f * logarithm(1.0f + inverse);
        }
        total += (double)block;
    }
    return total;
}

WIDEST void bp_log_uniform_kl_gradient(size_t count, const float *mean, const float *log_variance, float outer,
                                       float *by_mean, float *by_log_variance) {
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        float square = mean[i] * mean[i] + TINY;
        float log_alpha = log_variance[i] - logarithm(square);
        float s = 1.0f + exponential(K2 + K3 * log_alpha);
        float t = 1.0f + exponential(log_alpha);
        /* 1/s, 1/t and 1/square by one division; at most e^60 * square, which float holds up to |mean| = 1e6 */
        float inverse = 1.0f / (s * t * square);
        float by_s = t * square * inverse, by_t = s * square * inverse;
        float slope = outer * (-K1 * K3 * by_s * (1.0f - by_s) - 0.5f * by_t);
        by_log_variance[i] += slope;
        by_mean[i] -= 2.0f * slope * mean[i] * (s * t * inverse);
    }
}

WIDEST void bp_log_uniform_kl_chain(size_t count, const float *mean, const float *log_variance, float outer,
                                    float *by_mean, float *by_log_variance) {
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        float square = mean[i] * mean[i] + TINY;
        float variance = exponential(log_variance[i]);
        float s = 1.0f + exponential(K2 + K3 * (log_variance[i] - logarithm(square)));
        /* As above with t = (square + variance) / square, which takes no exponential of its own. */
        float sum = square + variance;
        float inverse = 1.0f / (s * sum * square);
        float by_s = sum * square * inverse, over_sum = s * square * inverse;
        float slope = outer * (-K1 * K3 * by_s * (1.0f - by_s) - 0.5f * square * over_sum);
        by_log_variance[i] = by_log_variance[i] * variance + slope;
        by_mean[i] -= 2.0f * slope * mean[i] * (s * sum * inverse);
    }
}

WIDEST double bp_mixture_kl(size_t count, const float *mean, const float *deviation, const float *noise,
                            const bp_mixture *prior) {
    const float half_log_2pi = 0.918938533f;
    const float odds = prior->log_odds, bend1 = 0.5f * prior->precision1, bend2 = 0.5f * prior->precision2;
    double total = 0.0;
    for (size_t start = 0; start < count; start += BLOCK) {
        size_t end = count - start < BLOCK ? count : start + BLOCK;
        float block = 0.0f;
#pragma omp simd reduction(+ : block)
        for (size_t i = start; i < end; i++) {
            float w = mean[i] + deviation[i] * noise[i];
            float square = w * w;
            /* log(a + b) = max + log(1 + exp(-|log a - log b|)), both less the peak */
            float wide = odds - bend1 * square, narrow = -bend2 * square;
            float most = wide > narrow ? wide : narrow, least = wide > narrow ? narrow : wide;
            float log_prior = most + logarithm(1.0f + exponential(least - most));
            block -= logarithm(deviation[i]) + 0.5f * noise[i] * noise[i] + log_prior;
        }
        total += (double)block - (double)(end - start) * (double)(half_log_2pi + prior->log_peak);
    }
    return total;
}

WIDEST void bp_mixture_kl_gradient(size_t count, const float *mean, const float *deviation, const float *noise,
                                   const bp_mixture *prior, float outer, float *by_mean, float *by_deviation) {
    const float odds = prior->log_odds, precision1 = prior->precision1, precision2 = prior->precision2;
    const float curve = 0.5f * (precision2 - precision1);
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        float w = mean[i] + deviation[i] * noise[i];
        float narrow = 1.0f / (1.0f + exponential(odds + curve * w * w)); /* the narrow one's responsibility */
        float slope = outer * w * (narrow * precision2 + (1.0f - narrow) * precision1);
        by_mean[i] = slope;
        by_deviation[i] = slope * noise[i] - outer / deviation[i];
    }
}

WIDEST void bp_gaussian_output(size_t count, const float *mean, const float *variance, float tiny, float *noise,
                               float *output) {
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        float deviation = sqrtf(variance[i] + tiny);
        output[i] = mean[i] + deviation * noise[i];
        noise[i] *= 0.5f / deviation;
    }
}
