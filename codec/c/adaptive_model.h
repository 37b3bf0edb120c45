/* adaptive_model.h - private: where weights survive and how large they are, as probabilities for the range coder
 * (FORMAT.md, section 9). Encoder and decoder run the same code; see range_coder.h for `encoding`.
 */
#ifndef BPZ_ADAPTIVE_MODEL_H
#define BPZ_ADAPTIVE_MODEL_H

#include "range_coder.h"

#define BPZ_STRETCH      4096u /* probabilities of 12 bits */
#define BPZ_RATES        256u  /* observations after which a slot learns no more slowly */
#define BPZ_BUCKETS      8192u /* columns with a memory of their own; wider matrices share */
#define BPZ_DENSITIES    32u   /* steps that a density is told apart in */
#define BPZ_EXPONENTS    32u
#define BPZ_DIGITS       16u /* nodes of the tree over the four bits behind a magnitude's first */
#define BPZ_MEAN_BITS    5u  /* of the field that tells the mean magnitude */
#define BPZ_GAP_CONTEXTS 4u
#define BPZ_GAP_STEPS    16u /* steps of a gap that are told apart */

/* An estimated probability of a one, in 65536ths and never 0, and how often it was corrected. */
typedef struct bpzi_slot {
    uint16_t p;
    uint16_t seen;
} bpzi_slot;

typedef struct bpzi_model {
    int16_t stretch[BPZ_STRETCH]; /* log odds of a probability, in 256ths */
    uint16_t rate[BPZ_RATES];
    uint16_t column_density[BPZ_BUCKETS]; /* of survivors, the latest rows weighing most */
    uint8_t above[BPZ_BUCKETS];           /* sign of what the row above has there: 0 nothing, 1 plus, 2 minus */
    bpzi_slot by_column[BPZ_DENSITIES * 4u], by_row[BPZ_DENSITIES * 4u];
    bpzi_slot sign[9];
    bpzi_slot more[BPZ_EXPONENTS];
    bpzi_slot digit[BPZ_EXPONENTS * BPZ_DIGITS];
    bpzi_slot gap[BPZ_GAP_CONTEXTS * BPZ_GAP_STEPS];
    int32_t weight[2]; /* of the two estimates, in 65536ths */
    uint16_t density;  /* of the whole matrix: where every estimate begins */
    uint16_t row_density;
    uint32_t left; /* whether the two positions before have survived, the nearest in bit 0 */
    uint32_t left_sign;
    uint32_t column_shift; /* bits of a column's index that do not tell buckets apart */
    int is_signed;
    uint32_t gap_bits;    /* a gap is so many plain bits and a number of steps of 2^gap_bits */
    uint32_t gap_context; /* how many steps the gap before had, by class */
} bpzi_model;

/* Begin a matrix of `columns` live columns and `positions` live positions, `nonzero` of them not zero, of levels whose
 * magnitudes average 2^(mean_code / 4). */
void bpzi_model_begin(bpzi_model *model, uint64_t columns, uint64_t positions, uint64_t nonzero, uint32_t mean_code,
                      int is_signed);

/* Begin gaps, behind bpzi_model_begin. */
void bpzi_model_begin_gaps(bpzi_model *model, uint32_t gap_bits);

/* Logistic function: d 256ths of log odds as a probability of 12 bits; |d| <= 2047. */
uint32_t bpzi_squash(int32_t d);

/* v / 2^n towards minus infinity, which C leaves to the compiler. */
static inline int32_t bpzi_floor_shift(int32_t v, unsigned n) {
    return v >= 0 ? v >> n : -(int32_t)((uint32_t)(-(v + 1)) >> n) - 1;
}

/* A one brings the estimate nearer to 65535, a zero nearer to 0. */
static inline void bpzi_slot_learn(const bpzi_model *model, bpzi_slot *slot, uint32_t bit) {
    const uint32_t rate = model->rate[slot->seen];
    if (bit) {
        slot->p = (uint16_t)(slot->p + ((65535u - slot->p) * rate >> 16));
    } else {
        slot->p = (uint16_t)(slot->p - (slot->p * rate >> 16));
    }
    slot->seen = (uint16_t)(slot->seen + (slot->seen < BPZ_RATES - 1u));
}

static inline uint32_t bpzi_model_bit(const bpzi_model *model, bpzi_coder *coder, int encoding, bpzi_slot *slot,
                                      uint32_t bit) {
    bit = bpzi_coder_bit(coder, encoding, slot->p, bit);
    bpzi_slot_learn(model, slot, bit);
    return bit;
}

/* One bit by two estimates: their log odds are weighed and added, and the weights follow the error's gradient. */
static inline uint32_t bpzi_model_mixed(bpzi_model *model, bpzi_coder *coder, int encoding, bpzi_slot *one,
                                        bpzi_slot *two, uint32_t bit) {
    const int32_t limit = 8 << 16; /* so that no product below leaves 32 bits */
    const int32_t odds[2] = {model->stretch[one->p >> 4], model->stretch[two->p >> 4]};
    int32_t sum = bpzi_floor_shift(odds[0] * model->weight[0] + odds[1] * model->weight[1], 16);
    int32_t error;
    uint32_t p;
    unsigned which;
    sum = sum > 2047 ? 2047 : sum < -2047 ? -2047 : sum;
    p = bpzi_squash(sum);
    bit = bpzi_coder_bit(coder, encoding, p << 4, bit);
    error = ((int32_t)(bit << 12) - (int32_t)p) * 6;
    for (which = 0; which < 2; which++) {
        const int32_t weight = model->weight[which] + bpzi_floor_shift(odds[which] * error + 0x8000, 16);
        model->weight[which] = weight > limit ? limit : weight < -limit ? -limit : weight;
    }
    bpzi_slot_learn(model, one, bit);
    bpzi_slot_learn(model, two, bit);
    return bit;
}

static inline void bpzi_model_row(bpzi_model *model) {
    model->row_density = model->density;
    model->left = 0;
    model->left_sign = 0;
}

/* Which of BPZ_DENSITIES steps a probability of 16 bits belongs to: even steps of its log odds. */
static inline uint32_t bpzi_density_step(const bpzi_model *model, uint32_t p) {
    return (uint32_t)(model->stretch[p >> 4] + 2048) >> 7;
}

/* Whether the position in live column `column` is not zero. Goes through each row from left to right. */
static inline uint32_t bpzi_model_survives(bpzi_model *model, bpzi_coder *coder, int encoding, uint64_t column,
                                           uint32_t bit) {
    const size_t bucket = (size_t)(column >> model->column_shift);
    uint16_t *const density = &model->column_density[bucket];
    const uint32_t nearest = (model->above[bucket] != 0 ? 2u : 0u) + (model->left & 1u);
    bpzi_slot *const by_column = &model->by_column[bpzi_density_step(model, *density) * 4u + nearest];
    bpzi_slot *const by_row = &model->by_row[bpzi_density_step(model, model->row_density) * 4u + model->left];
    bit = bpzi_model_mixed(model, coder, encoding, by_column, by_row, bit);
    if (bit) {
        *density = (uint16_t)(*density + ((65535u - *density) >> 4));
        model->row_density = (uint16_t)(model->row_density + ((65535u - model->row_density) >> 5));
    } else {
        *density = (uint16_t)(*density - (*density >> 4));
        model->row_density = (uint16_t)(model->row_density - (model->row_density >> 5));
        model->above[bucket] = 0;
        model->left_sign = 0;
    }
    model->left = (model->left << 1 | bit) & 3u;
    return bit;
}

/* Positions passed over before the next that is not zero. While decoding more than `limit` where counting stopped there,
 * or the stream is one that no encoder makes. */
static inline uint64_t bpzi_model_gap(bpzi_model *model, bpzi_coder *coder, int encoding, uint64_t gap,
                                      uint64_t limit) {
    bpzi_slot *const slots = &model->gap[model->gap_context * BPZ_GAP_STEPS];
    const uint64_t most = (encoding ? gap : limit) >> model->gap_bits;
    uint64_t steps = 0;
    uint32_t left = model->gap_bits;
    for (;;) {
        bpzi_slot *const slot = &slots[steps < BPZ_GAP_STEPS ? steps : BPZ_GAP_STEPS - 1u];
        if (!bpzi_model_bit(model, coder, encoding, slot, encoding && steps != most)) break;
        if (steps++ == most) return UINT64_MAX;
    }
    model->gap_context = steps < 2u ? (uint32_t)steps : steps < 4u ? 2u : 3u;
    while (left != 0) {
        const uint32_t count = left < BPZ_PLAIN_BITS ? left : BPZ_PLAIN_BITS;
        uint32_t part;
        left -= count;
        part = (uint32_t)(gap >> left) & ((1u << count) - 1u);
        steps = steps << count | bpzi_coder_plain(coder, encoding, count, part);
    }
    return steps;
}

static inline uint8_t *bpzi_model_above(bpzi_model *model, uint64_t column) {
    return &model->above[column >> model->column_shift];
}

/* Sign and magnitude, 1 to 2^32 - 1, of a position that is not zero. `above` is what lies above it, which this
 * becomes. */
static inline void bpzi_model_value(bpzi_model *model, bpzi_coder *coder, int encoding, uint8_t *above,
                                    uint32_t *negative, uint32_t *magnitude) {
    uint32_t exponent = 0, node = 1, number = 1, place;
    if (model->is_signed) {
        *negative = bpzi_model_bit(model, coder, encoding, &model->sign[model->left_sign * 3u + *above], *negative);
    } else {
        *negative = 0;
    }
    *above = (uint8_t)(1u + *negative);
    model->left_sign = *above;
    for (; exponent < BPZ_EXPONENTS - 1u; exponent++) {
        const uint32_t more = encoding && *magnitude >> exponent > 1u ? 1u : 0u;
        if (!bpzi_model_bit(model, coder, encoding, &model->more[exponent], more)) break;
    }
    for (place = exponent; place != 0; place--) {
        uint32_t bit = encoding ? *magnitude >> (place - 1u) & 1u : 0u;
        if (node < BPZ_DIGITS) {
            bit = bpzi_model_bit(model, coder, encoding, &model->digit[exponent * BPZ_DIGITS + node], bit);
            node = node << 1 | bit;
        } else {
            bit = bpzi_coder_bit(coder, encoding, 0x8000u, bit);
        }
        number = number << 1 | bit;
    }
    *magnitude = number;
}

#endif /* BPZ_ADAPTIVE_MODEL_H */
