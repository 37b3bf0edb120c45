/* adaptive_model.c - where the adaptive model begins, and its table of the logistic function. */
#include "adaptive_model.h"

/* Where estimates of magnitudes begin is worth this many observations. */
#define BPZ_PRIMED 4u
#define BPZ_LEAST  300u

uint32_t bpzi_squash(int32_t d) {
    /* 4096 / (1 + exp(-x)) at x = -8, -7.5 ... 8, kept within 1 and 4095; straight lines between. */
    static const uint16_t logistic[33] = {1,    2,    4,    6,    10,   17,   27,   45,   74,   120,  194,
                                          311,  488,  747,  1102, 1546, 2048, 2550, 2994, 3349, 3608, 3785,
                                          3902, 3976, 4022, 4051, 4069, 4079, 4086, 4090, 4092, 4094, 4095};
    const uint32_t shifted = (uint32_t)(d + 2048), step = shifted >> 7, part = shifted & 127u;
    return (logistic[step] * (128u - part) + logistic[step + 1u] * part + 64u) >> 7;
}

static uint16_t within(uint32_t p, uint32_t least, uint32_t most) {
    return (uint16_t)(p < least ? least : p > most ? most : p);
}

static void fill(bpzi_slot *slots, size_t count, uint16_t p) {
    for (; count != 0; count--, slots++) {
        slots->p = p;
        slots->seen = 0;
    }
}

/* Magnitudes as if geometric: P(m > k) = q^k. Then an exponent e is passed with q^(2^e), and of the two halves of
 * 2 h numbers the upper has q^h times the lower's probability. */
static void begin_magnitudes(bpzi_model *model, uint32_t mean_code) {
    /* 65536 (1 - 1 / mean) of the means 2^(0 / 4) to 2^(31 / 4), at least 1311 */
    static const uint16_t geometric[1u << BPZ_MEAN_BITS] = {
        1311,  10427, 19195, 26568, 32768, 37982, 42366, 46052, 49152, 51759, 53951, 55794, 57344, 58647, 59743, 60665,
        61440, 62092, 62640, 63101, 63488, 63814, 64088, 64318, 64512, 64675, 64812, 64927, 65024, 65105, 65174, 65232};
    uint32_t power[BPZ_EXPONENTS], exponent, node;
    power[0] = geometric[mean_code];
    for (exponent = 1; exponent < BPZ_EXPONENTS; exponent++) {
        power[exponent] = power[exponent - 1u] * power[exponent - 1u] >> 16;
    }
    for (exponent = 0; exponent < BPZ_EXPONENTS; exponent++) {
        model->more[exponent].p = within(power[exponent], BPZ_LEAST, 65000u);
        model->more[exponent].seen = BPZ_PRIMED;
        for (node = 1; node < BPZ_DIGITS; node++) {
            const uint32_t depth = node < 2 ? 0 : node < 4 ? 1 : node < 8 ? 2 : 3;
            bpzi_slot *const slot = &model->digit[exponent * BPZ_DIGITS + node];
            if (depth >= exponent) continue; /* there is no such digit */
            slot->p = within((power[exponent - 1u - depth] << 16) / (65536u + power[exponent - 1u - depth]), BPZ_LEAST,
                             65535u);
            slot->seen = BPZ_PRIMED;
        }
    }
}

void bpzi_model_begin_gaps(bpzi_model *model, uint32_t gap_bits) {
    uint32_t on = 65536u - model->density, doubled, index; /* that none of 2^doubled positions survives */
    for (doubled = 0; doubled < gap_bits; doubled++) on = (uint32_t)((uint64_t)on * on >> 16);
    for (index = 0; index < BPZ_GAP_CONTEXTS * BPZ_GAP_STEPS; index++) {
        model->gap[index].p = within(on, BPZ_LEAST, 65000u);
        model->gap[index].seen = BPZ_PRIMED;
    }
    model->gap_bits = gap_bits;
    model->gap_context = 0;
}

void bpzi_model_begin(bpzi_model *model, uint64_t columns, uint64_t positions, uint64_t nonzero, uint32_t mean_code,
                      int is_signed) {
    int32_t d = -2047;
    uint32_t p, index;
    for (p = 0; p < BPZ_STRETCH; p++) {
        while (d < 2047 && bpzi_squash(d) < p) d++;
        model->stretch[p] = (int16_t)d;
    }
    for (index = 0; index < BPZ_RATES; index++) model->rate[index] = (uint16_t)(65536u / (index + 2u));
    model->density = within((uint32_t)((nonzero << 16) / positions), 64u, 65472u);
    for (index = 0; index < BPZ_BUCKETS; index++) {
        model->column_density[index] = model->density;
        model->above[index] = 0;
    }
    for (model->column_shift = 0; (columns - 1u) >> model->column_shift >= BPZ_BUCKETS;) model->column_shift++;
    fill(model->by_column, BPZ_DENSITIES * 4u, model->density);
    fill(model->by_row, BPZ_DENSITIES * 4u, model->density);
    fill(model->sign, 9, 0x8000u);
    fill(model->digit, BPZ_EXPONENTS * BPZ_DIGITS, 0x8000u);
    begin_magnitudes(model, mean_code);
    model->weight[0] = model->weight[1] = 1 << 15;
    model->is_signed = is_signed;
    bpzi_model_row(model);
}
