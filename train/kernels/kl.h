/* The KL terms that run over every weight in every step, and the local reparameterisation's noise, which runs over every
 * output, each in one pass over memory.
 *
 * Arrays hold `count` floats; those written may not overlap those read. Sums are in double, over blocks of float
 * sums. Nothing is allocated and nothing is kept, so several threads may call at once.
 */
#ifndef BAYESPRESS_KL_H
#define BAYESPRESS_KL_H

#include <stddef.h>

/* Sum of KL(N(mean, exp(log_variance)) || log-uniform), see train/kl.py for the formula. */
double bp_log_uniform_kl(size_t count, const float *mean, const float *log_variance);

/* Its gradient times `outer`, by the mean and by the log variance, added to what the arrays hold. */
void bp_log_uniform_kl_gradient(size_t count, const float *mean, const float *log_variance, float outer, float *by_mean,
                                float *by_log_variance);

/* The same, where `by_log_variance` holds a gradient by the variance itself: it is multiplied by the variance first. */
void bp_log_uniform_kl_chain(size_t count, const float *mean, const float *log_variance, float outer, float *by_mean,
                             float *by_log_variance);

/* What a scale mixture pi N(0, s1^2) + (1 - pi) N(0, s2^2) is to the functions below. */
typedef struct {
    float log_odds;   /* log of pi N(0 | 0, s1^2) over (1 - pi) N(0 | 0, s2^2) */
    float log_peak;   /* log of (1 - pi) N(0 | 0, s2^2) */
    float precision1; /* 1 / s1^2 */
    float precision2; /* 1 / s2^2 */
} bp_mixture;

/* Sum of log N(w | mean, deviation^2) - log prior(w) at w = mean + deviation * noise. */
double bp_mixture_kl(size_t count, const float *mean, const float *deviation, const float *noise,
                     const bp_mixture *prior);

/* Its gradient times `outer`, by the mean and by the deviation. */
void bp_mixture_kl_gradient(size_t count, const float *mean, const float *deviation, const float *noise,
                            const bp_mixture *prior, float outer, float *by_mean, float *by_deviation);

/* output = mean + sqrt(variance + tiny) * noise; `noise` is overwritten by d output / d variance. */
void bp_gaussian_output(size_t count, const float *mean, const float *variance, float tiny, float *noise,
                        float *output);

#endif
