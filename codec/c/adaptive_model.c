/* adaptive_model.c - the initial state of the adaptive model, and its table of the logistic function (FORMAT.md,
 * sections 9.4 and 9.5).
 *
 * A model that learns from nothing would spend many bits on a small matrix. So all estimates begin from the two numbers
 * that the reader knows before the first bit: the share of non-zeros, and the mean magnitude. The tables are integers
 * computed once from the formulas beside them, since floating-point functions differ between machines.
 */
#include "adaptive_model.h"

/* Initial estimates of magnitudes and gaps count as this many bits seen: they come from a distribution and are better
 * than a guess. */
#define BPZ_PRIMED 4u
/* The least of them: a bit that was thought impossible would cost 16 bits or more. */
#define BPZ_LEAST  300u

uint32_t bpzi_squash(int32_t log_odds) {
    /* 4096 / (1 + exp(-x)) at x = -8, -7.5 ... 8, rounded and kept within 1 and 4095; linear between. */
    static const uint16_t logistic[33] = {1,    2,    4,    6,    10,   17,   27,   45,   74,   120,  194,
                                          311,  488,  747,  1102, 1546, 2048, 2550, 2994, 3349, 3608, 3785,
                                          3902, 3976, 4022, 4051, 4069, 4079, 4086, 4090, 4092, 4094, 4095};
    const uint32_t shifted = (uint32_t)(log_odds + 2048), step = shifted >> 7, part = shifted & 127u;
    return (logistic[step] * (128u - part) + logistic[step + 1u] * part + 64u) >> 7;
}

/* A probability, kept within two limits. */
static uint16_t within(uint32_t p, uint32_t least, uint32_t most) {
    return (uint16_t)(p < least ? least : p > most ? most : p);
}

/* `count` slots of one estimate that have seen nothing. */
static void fill(bpzi_slot *slots, size_t count, uint16_t p) {
    for (; count != 0; count--, slots++) {
        slots->probability = p;
        slots->seen = 0;
    }
}

/* Magnitudes as if geometric: P(magnitude > k) = q^k. Then
 *
 *   - the exponent is above e with probability q^(2^e), given that it is at least e;
 *   - of 2 h neighbouring numbers the upper half has q^h times the probability of the lower half, so a digit that
 *     chooses between them is 1 with probability q^h / (1 + q^h).
 *
 * power[e] is q^(2^e) in 65536ths: each is the square of the one before. */
static void begin_magnitudes(bpzi_model *model, uint32_t mean_code) {
    /* q = 1 - 1 / mean for the means 2^(0 / 4) to 2^(31 / 4), at least 1311 / 65536: a mean of 1 would leave no
     * others */
    static const uint16_t power_of_mean[1u << BPZ_MEAN_BITS] = {
        1311,  10427, 19195, 26568, 32768, 37982, 42366, 46052, 49152, 51759, 53951, 55794, 57344, 58647, 59743, 60665,
        61440, 62092, 62640, 63101, 63488, 63814, 64088, 64318, 64512, 64675, 64812, 64927, 65024, 65105, 65174, 65232};
    uint32_t power[BPZ_EXPONENTS], exponent, node;
    power[0] = power_of_mean[mean_code];
    for (exponent = 1; exponent < BPZ_EXPONENTS; exponent++) {
        power[exponent] = power[exponent - 1u] * power[exponent - 1u] >> 16;
    }
    for (exponent = 0; exponent < BPZ_EXPONENTS; exponent++) {
        model->exponent_slots[exponent].probability = within(power[exponent], BPZ_LEAST, 65000u);
        model->exponent_slots[exponent].seen = BPZ_PRIMED;
        for (node = 1; node < BPZ_DIGIT_NODES; node++) {
            const uint32_t depth = node < 2 ? 0 : node < 4 ? 1 : node < 8 ? 2 : 3;
            bpzi_slot *const slot = &model->digit_slots[exponent * BPZ_DIGIT_NODES + node];
            if (depth >= exponent) continue; /* this exponent has fewer digits */
            slot->probability = within((power[exponent - 1u - depth] << 16) / (65536u + power[exponent - 1u - depth]),
                                       BPZ_LEAST, 65535u);
            slot->seen = BPZ_PRIMED;
        }
    }
}

void bpzi_model_begin_gaps(bpzi_model *model, uint32_t gap_bits) {
    uint32_t power = 65536u - model->density, doubled, index; /* that all of 2^doubled positions are zero */
    for (doubled = 0; doubled < gap_bits; doubled++) power = (uint32_t)((uint64_t)power * power >> 16);
    for (index = 0; index < BPZ_GAP_CONTEXTS * BPZ_GAP_STEPS; index++) {
        model->gap_slots[index].probability = within(power, BPZ_LEAST, 65000u);
        model->gap_slots[index].seen = BPZ_PRIMED;
    }
    model->gap_bits = gap_bits;
    model->gap_context = 0;
}

void bpzi_model_begin(bpzi_model *model, uint64_t columns, uint64_t positions, uint64_t nonzero, uint32_t mean_code,
                      int is_signed) {
    int32_t log_odds = -2047;
    uint32_t p, index;
    for (p = 0; p < BPZ_STRETCH; p++) {
        /* squash never falls, so its inverse is found in one pass. */
        while (log_odds < 2047 && bpzi_squash(log_odds) < p) log_odds++;
        model->stretch[p] = (int16_t)log_odds;
    }
    for (index = 0; index < BPZ_RATES; index++) model->rate[index] = (uint16_t)(65536u / (index + 2u));
    model->density = within((uint32_t)((nonzero << 16) / positions), 64u, 65472u);
    for (index = 0; index < BPZ_BUCKETS; index++) {
        model->column_density[index] = model->density;
        model->above[index] = 0;
    }
    for (model->column_shift = 0; (columns - 1u) >> model->column_shift >= BPZ_BUCKETS;) model->column_shift++;
    fill(model->column_slots, BPZ_DENSITIES * 4u, model->density);
    fill(model->row_slots, BPZ_DENSITIES * 4u, model->density);
    fill(model->sign_slots, 9, 0x8000u);
    fill(model->digit_slots, BPZ_EXPONENTS * BPZ_DIGIT_NODES, 0x8000u);
    begin_magnitudes(model, mean_code);
    model->weight[0] = model->weight[1] = 1 << 15;
    model->is_signed = is_signed;
    bpzi_model_begin_row(model);
}
