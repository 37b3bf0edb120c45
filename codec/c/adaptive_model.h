/* adaptive_model.h - private: the adaptive model of a matrix (FORMAT.md, sections 9.3 to 9.9).
 *
 * Why. After pruning, what a file holds is mostly the answer to two questions: which weights are left, and how large
 * they are. Neither is uniform over a matrix. Some rows and columns keep many weights and others few; neighbours of a
 * weight that is left are left more often; magnitudes follow a decaying distribution whose width differs between
 * tensors. A Huffman code sees the histogram of the whole tensor only. This model learns while it codes, so it needs no
 * tables in the file, and it costs less than one bit for a position that is probably zero.
 *
 * How. Every bit of the matrix is coded with a probability by the range coder, and afterwards the estimate behind this
 * probability moves towards the bit.
 *
 *     slot   an estimate with a count: it learns quickly at first, and slowly once it has seen many bits
 *     flag   one bit for each position, estimated by two slots: one is selected by how dense the column has been, the
 *            other by how dense the row has been. A mixer weighs their log odds and learns which of them to trust.
 *     value  a sign, then the magnitude as the place of its highest bit and the bits below it
 *     gap    instead of flags, the number of zero positions before each non-zero: far fewer bits to code, and so
 *            several times faster for sparse matrices
 *
 * The same code encodes and decodes; see range_coder.h about `encoding`. All arithmetic is on integers, so that every
 * machine follows the same states. The functions of the hot path are inline here; the tables and the initial states are
 * in adaptive_model.c.
 *
 * Units. Probabilities are those of a 1, in 65536ths; log odds are natural logarithms in 256ths.
 */
#ifndef BPZ_ADAPTIVE_MODEL_H
#define BPZ_ADAPTIVE_MODEL_H

#include "range_coder.h"

/* Sizes of the model. They are part of the format: another size makes other probabilities. Together they take 37 kB,
 * most of it for columns. */
#define BPZ_STRETCH      4096u /* probabilities that `stretch` tells apart: 12 bits */
#define BPZ_RATES        256u  /* bits seen, after which a slot learns no more slowly */
#define BPZ_BUCKETS      8192u /* columns with a state of their own; wider matrices share */
#define BPZ_DENSITIES    32u   /* steps of a density that select a slot */
#define BPZ_EXPONENTS    32u   /* places of a magnitude's highest bit */
#define BPZ_DIGIT_NODES  16u   /* nodes of the binary tree over the four bits below the highest; node 0 is not used */
#define BPZ_MEAN_BITS    5u    /* width of the field mean_code */
#define BPZ_GAP_CONTEXTS 4u    /* classes of the gap before */
#define BPZ_GAP_STEPS    16u   /* steps of a gap with slots of their own */

/* An estimated probability, 1 to 65535, and the number of bits it has seen, up to BPZ_RATES - 1. */
typedef struct bpzi_slot {
    uint16_t probability;
    uint16_t seen;
} bpzi_slot;

typedef struct bpzi_model {
    int16_t stretch[BPZ_STRETCH];         /* log odds of a probability in 4096ths */
    uint16_t rate[BPZ_RATES];             /* 65536 / (seen + 2): a multiplication instead of a division for each bit */
    uint16_t column_density[BPZ_BUCKETS]; /* probability of a flag in the column, the latest rows weighing most */
    uint8_t above[BPZ_BUCKETS];           /* sign of what the row above has there: 0 zero, 1 plus, 2 minus */
    bpzi_slot column_slots[BPZ_DENSITIES * 4u], row_slots[BPZ_DENSITIES * 4u];
    bpzi_slot sign_slots[9];
    bpzi_slot exponent_slots[BPZ_EXPONENTS];
    bpzi_slot digit_slots[BPZ_EXPONENTS * BPZ_DIGIT_NODES];
    bpzi_slot gap_slots[BPZ_GAP_CONTEXTS * BPZ_GAP_STEPS];
    int32_t weight[2]; /* of the two estimates of a flag, in 65536ths */
    uint16_t density;  /* of the whole matrix: where all estimates of flags begin */
    uint16_t row_density;
    uint32_t left;         /* flags of the two positions before, the nearer one in bit 0 */
    uint32_t left_sign;    /* sign of the position before: 0 zero, 1 plus, 2 minus */
    uint32_t column_shift; /* a column's bucket is column >> column_shift */
    int is_signed;         /* whether values have signs; a codebook's have none */
    uint32_t gap_bits;     /* a gap is steps of 2^gap_bits positions and gap_bits plain bits */
    uint32_t gap_context;  /* class of the steps of the gap before */
} bpzi_model;

/* The largest log odds select the last of the steps that have slots. */
BPZ_STATIC_ASSERT(a_step_selects_a_slot, (2047 + 2048) >> 7 == BPZ_DENSITIES - 1u);
/* bpzi_slot keeps the count in 16 bits, and it indexes `rate`. */
BPZ_STATIC_ASSERT(seen_fits_16_bits, BPZ_RATES - 1u <= 0xFFFFu);

/* Begin a matrix of `columns` live columns and `positions` live positions, `nonzero` of them not zero (1 to positions),
 * whose magnitudes average about 2^(mean_code / 4). Sets every field but those of gaps. */
void bpzi_model_begin(bpzi_model *model, uint64_t columns, uint64_t positions, uint64_t nonzero, uint32_t mean_code,
                      int is_signed);

/* Begin gaps, after bpzi_model_begin; gap_bits is 0 to 31. */
void bpzi_model_begin_gaps(bpzi_model *model, uint32_t gap_bits);

/* The logistic function: log odds, -2047 to 2047, as a probability in 4096ths, 1 to 4095. */
uint32_t bpzi_squash(int32_t log_odds);

/* value / 2^n rounded towards minus infinity. What >> does to a negative number is up to the compiler. */
static inline int32_t bpzi_floor_shift(int32_t value, unsigned n) {
    return value >= 0 ? value >> n : -(int32_t)((uint32_t)(-(value + 1)) >> n) - 1;
}

/* Move the estimate towards the bit by 1 / (seen + 2) of the distance to 65535, or to 0. So the estimate is the average
 * of the bits that were seen and of its initial value, which counts as seen + 1 bits; when `seen` has reached its
 * limit, older bits count less and less. The shifts round down, so that neither end is reached. */
static inline void bpzi_slot_learn(const bpzi_model *model, bpzi_slot *slot, uint32_t bit) {
    const uint32_t rate = model->rate[slot->seen];
    if (bit) {
        slot->probability = (uint16_t)(slot->probability + ((65535u - slot->probability) * rate >> 16));
    } else {
        slot->probability = (uint16_t)(slot->probability - (slot->probability * rate >> 16));
    }
    slot->seen = (uint16_t)(slot->seen + (slot->seen < BPZ_RATES - 1u));
}

/* Code one bit by one slot. */
static inline uint32_t bpzi_model_bit(const bpzi_model *model, bpzi_coder *coder, int encoding, bpzi_slot *slot,
                                      uint32_t bit) {
    bit = bpzi_coder_bit(coder, encoding, slot->probability, bit);
    bpzi_slot_learn(model, slot, bit);
    return bit;
}

/* Code one bit by two slots (logistic mixing, Mahoney 2005): their log odds are weighted and added, and each weight
 * moves along the gradient of the coding cost, which is its log odds times the error of the mixture. The factor 6 is
 * the learning rate. Log odds are below 2^11 and weights at most 2^19, so the sum of two products is below 2^31. */
static inline uint32_t bpzi_model_mixed(bpzi_model *model, bpzi_coder *coder, int encoding, bpzi_slot *one,
                                        bpzi_slot *two, uint32_t bit) {
    const int32_t limit = 8 << 16;
    const int32_t log_odds[2] = {model->stretch[one->probability >> 4], model->stretch[two->probability >> 4]};
    int32_t mixed = bpzi_floor_shift(log_odds[0] * model->weight[0] + log_odds[1] * model->weight[1], 16);
    int32_t error;
    uint32_t probability;
    unsigned which;
    mixed = mixed > 2047 ? 2047 : mixed < -2047 ? -2047 : mixed;
    probability = bpzi_squash(mixed);
    bit = bpzi_coder_bit(coder, encoding, probability << 4, bit);
    error = ((int32_t)(bit << 12) - (int32_t)probability) * 6;
    for (which = 0; which < 2; which++) {
        const int32_t weight = model->weight[which] + bpzi_floor_shift(log_odds[which] * error + 0x8000, 16);
        model->weight[which] = weight > limit ? limit : weight < -limit ? -limit : weight;
    }
    bpzi_slot_learn(model, one, bit);
    bpzi_slot_learn(model, two, bit);
    return bit;
}

/* Begin a row: what lies above stays, what lies to the left is forgotten. */
static inline void bpzi_model_begin_row(bpzi_model *model) {
    model->row_density = model->density;
    model->left = 0;
    model->left_sign = 0;
}

/* Which of BPZ_DENSITIES even steps of log odds a probability belongs to. Steps of log odds are fine where densities
 * are low, which is where a small difference changes the cost most. */
static inline uint32_t bpzi_density_step(const bpzi_model *model, uint32_t probability) {
    return (uint32_t)(model->stretch[probability >> 4] + 2048) >> 7;
}

/* Code the flag of a position: whether it is not zero. `column` counts live columns. Each row is coded from left to
 * right, after bpzi_model_begin_row. The densities move by fixed shares, so that they follow changes along the
 * matrix. */
static inline uint32_t bpzi_model_flag(bpzi_model *model, bpzi_coder *coder, int encoding, uint64_t column,
                                       uint32_t bit) {
    const size_t bucket = (size_t)(column >> model->column_shift);
    uint16_t *const density = &model->column_density[bucket];
    const uint32_t near = (model->above[bucket] != 0 ? 2u : 0u) + (model->left & 1u);
    bpzi_slot *const column_slot = &model->column_slots[bpzi_density_step(model, *density) * 4u + near];
    bpzi_slot *const row_slot = &model->row_slots[bpzi_density_step(model, model->row_density) * 4u + model->left];
    bit = bpzi_model_mixed(model, coder, encoding, column_slot, row_slot, bit);
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

/* Code a gap: the number of zero positions before the next non-zero. `gap` is for encoding. When decoding, `limit` is
 * the number of positions that are left, and a gap of `limit` or more is returned for a stream that leads past them:
 * counting stops there, so that no stream makes it long. */
static inline uint64_t bpzi_model_gap(bpzi_model *model, bpzi_coder *coder, int encoding, uint64_t gap,
                                      uint64_t limit) {
    bpzi_slot *const slots = &model->gap_slots[model->gap_context * BPZ_GAP_STEPS];
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
        /* BPZ_NO_NUMBER sets all bits, and further parts leave a number that is larger than any matrix. */
        steps = steps << count | bpzi_coder_plain(coder, encoding, count, part);
    }
    return steps;
}

/* Where the model keeps the sign above a column. */
static inline uint8_t *bpzi_model_above(bpzi_model *model, uint64_t column) {
    return &model->above[column >> model->column_shift];
}

/* Code the value of a non-zero: its sign, and its magnitude of 1 to 2^32 - 1. `above` is the sign above it, and becomes
 * its own. `*negative` and `*magnitude` are read when encoding and written when decoding. A decoder's magnitude may be
 * above what int32 holds; the caller checks.
 *
 * The exponent is in unary: magnitudes are small, and each of its bits has a slot. Of the bits below, the first four
 * have slots by their place in a tree, and the others are as good as random. */
static inline void bpzi_model_value(bpzi_model *model, bpzi_coder *coder, int encoding, uint8_t *above,
                                    uint32_t *negative, uint32_t *magnitude) {
    uint32_t exponent = 0, node = 1, number = 1, place;
    if (model->is_signed) {
        *negative =
            bpzi_model_bit(model, coder, encoding, &model->sign_slots[model->left_sign * 3u + *above], *negative);
    } else {
        *negative = 0;
    }
    *above = (uint8_t)(1u + *negative);
    model->left_sign = *above;
    for (; exponent < BPZ_EXPONENTS - 1u; exponent++) {
        const uint32_t more = encoding && *magnitude >> exponent > 1u ? 1u : 0u;
        if (!bpzi_model_bit(model, coder, encoding, &model->exponent_slots[exponent], more)) break;
    }
    for (place = exponent; place != 0; place--) {
        uint32_t bit = encoding ? *magnitude >> (place - 1u) & 1u : 0u;
        if (node < BPZ_DIGIT_NODES) {
            bit = bpzi_model_bit(model, coder, encoding, &model->digit_slots[exponent * BPZ_DIGIT_NODES + node], bit);
            node = node << 1 | bit;
        } else {
            bit = bpzi_coder_bit(coder, encoding, 0x8000u, bit);
        }
        number = number << 1 | bit;
    }
    *magnitude = number;
}

#endif /* BPZ_ADAPTIVE_MODEL_H */
