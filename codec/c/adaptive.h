/* adaptive.h - private: the adaptive layout, a binary range coder under a model of where weights survive and how large
 * they are (FORMAT.md, section 8). Encoder and decoder run the same code, so that they cannot drift apart: `encoding`
 * is a constant at each call, and the compiler keeps one half.
 *
 * Variables   low, high   the interval that the bits so far have narrowed down to, both inclusive
 *             value       decoding: 32 bits of the stream, which lie in the interval
 *             passed      bytes that the interval has left behind
 * Invariants  low < high; their first bytes differ; low <= value <= high. Whatever the bits say, each call takes a
 *             bounded number of steps, and no byte at or after `end` is touched: behind it the stream is zeros.
 */
#ifndef BPZ_ADAPTIVE_H
#define BPZ_ADAPTIVE_H

#include "bits.h"

#define BPZ_STRETCH 4096u  /* probabilities of 12 bits */
#define BPZ_RATES 256u     /* observations after which a slot learns no more slowly */
#define BPZ_BUCKETS 8192u  /* columns with a memory of their own; wider matrices share */
#define BPZ_DENSITIES 32u  /* steps that a density is told apart in */
#define BPZ_EXPONENTS 32u
#define BPZ_DIGITS 16u     /* nodes of the tree over the four bits behind a magnitude's first */
#define BPZ_MEAN_BITS 5u   /* of the field that tells the mean magnitude */

/* An estimated probability of a one, in 65536ths and never 0, and how often it was corrected. */
typedef struct bpz_slot {
    uint16_t p;
    uint16_t seen;
} bpz_slot;

typedef struct bpz_coder {
    uint32_t low, high, value;
    const uint8_t *next, *end; /* decoding */
    uint8_t *out;              /* encoding */
    size_t capacity;
    uint64_t passed;
} bpz_coder;

typedef struct bpz_model {
    int16_t stretch[BPZ_STRETCH]; /* log odds of a probability, in 256ths */
    uint16_t rate[BPZ_RATES];
    uint16_t column_density[BPZ_BUCKETS]; /* of survivors, the latest rows weighing most */
    uint8_t above[BPZ_BUCKETS];           /* sign of what the row above has there: 0 nothing, 1 plus, 2 minus */
    bpz_slot by_column[BPZ_DENSITIES * 4u], by_row[BPZ_DENSITIES * 4u];
    bpz_slot sign[9];
    bpz_slot more[BPZ_EXPONENTS];
    bpz_slot digit[BPZ_EXPONENTS * BPZ_DIGITS];
    int32_t weight[2];     /* of the two estimates, in 65536ths */
    uint16_t density;      /* of the whole matrix: where every estimate begins */
    uint16_t row_density;
    uint32_t left;         /* whether the two positions before have survived, the nearest in bit 0 */
    uint32_t left_sign;
    uint32_t column_shift; /* bits of a column's index that do not tell buckets apart */
    int is_signed;
} bpz_model;

/* Begin a matrix of `columns` live columns and `positions` live positions, `nonzero` of them not zero, of levels whose
 * magnitudes average 2^(mean_code / 4). */
void bpz_model_begin(bpz_model *model, uint64_t columns, uint64_t positions, uint64_t nonzero, uint32_t mean_code,
                     int is_signed);

/* Logistic function: d 256ths of log odds as a probability of 12 bits; |d| <= 2047. */
uint32_t bpz_squash(int32_t d);

/* v / 2^n towards minus infinity, which C leaves to the compiler. */
static inline int32_t bpz_floor_shift(int32_t v, unsigned n) {
    return v >= 0 ? v >> n : -(int32_t)((uint32_t)(-(v + 1)) >> n) - 1;
}

static inline void bpz_coder_decode(bpz_coder *coder, const uint8_t *data, size_t size) {
    unsigned byte;
    coder->low = 0;
    coder->high = 0xFFFFFFFFu;
    coder->value = 0;
    coder->next = data;
    coder->end = data + size;
    coder->out = NULL;
    coder->capacity = 0;
    coder->passed = 0;
    for (byte = 0; byte < 4; byte++) {
        coder->value = coder->value << 8 | (coder->next != coder->end ? *coder->next++ : 0u);
    }
}

static inline void bpz_coder_encode(bpz_coder *coder, uint8_t *out, size_t capacity) {
    bpz_coder_decode(coder, out, 0);
    coder->out = out;
    coder->capacity = capacity;
}

/* Code one bit that is a one with probability p / 65536, 0 < p < 65536. Bytes past `capacity` are counted only. */
static inline uint32_t bpz_coder_bit(bpz_coder *coder, int encoding, uint32_t p, uint32_t bit) {
    const uint32_t middle = coder->low + (uint32_t)((uint64_t)(coder->high - coder->low) * p >> 16);
    if (!encoding) bit = coder->value <= middle;
    if (bit) {
        coder->high = middle;
    } else {
        coder->low = middle + 1u;
    }
    while (((coder->low ^ coder->high) & 0xFF000000u) == 0) {
        if (encoding) {
            if (coder->passed < coder->capacity) coder->out[coder->passed] = (uint8_t)(coder->high >> 24);
        } else {
            coder->value = coder->value << 8 | (coder->next != coder->end ? *coder->next++ : 0u);
        }
        coder->passed++;
        coder->low <<= 8;
        coder->high = coder->high << 8 | 255u;
    }
    return bit;
}

/* Bits that the stream has spent so far, to the next whole one. */
static inline uint64_t bpz_coder_spent(const bpz_coder *coder) {
    uint32_t width = coder->high - coder->low;
    uint64_t bits = coder->passed * 8u;
    for (; width < 0x80000000u; width = width << 1 | 1u) bits++;
    return bits;
}

static inline void bpz_slot_learn(const bpz_model *model, bpz_slot *slot, uint32_t bit) {
    const uint32_t rate = model->rate[slot->seen];
    if (bit) {
        slot->p = (uint16_t)(slot->p + ((65535u - slot->p) * rate >> 16));
    } else {
        slot->p = (uint16_t)(slot->p - (slot->p * rate >> 16));
    }
    if (slot->seen < BPZ_RATES - 1u) slot->seen++;
}

static inline uint32_t bpz_model_bit(const bpz_model *model, bpz_coder *coder, int encoding, bpz_slot *slot,
                                     uint32_t bit) {
    bit = bpz_coder_bit(coder, encoding, slot->p, bit);
    bpz_slot_learn(model, slot, bit);
    return bit;
}

/* One bit by two estimates: their log odds are weighed and added, and the weights follow the error's gradient. */
static inline uint32_t bpz_model_mixed(bpz_model *model, bpz_coder *coder, int encoding, bpz_slot *one, bpz_slot *two,
                                       uint32_t bit) {
    const int32_t limit = 8 << 16; /* so that no product below leaves 32 bits */
    const int32_t odds[2] = {model->stretch[one->p >> 4], model->stretch[two->p >> 4]};
    int32_t sum = bpz_floor_shift(odds[0] * model->weight[0] + odds[1] * model->weight[1], 16);
    int32_t error;
    uint32_t p;
    unsigned which;
    sum = sum > 2047 ? 2047 : sum < -2047 ? -2047 : sum;
    p = bpz_squash(sum);
    bit = bpz_coder_bit(coder, encoding, p << 4, bit);
    error = ((int32_t)(bit << 12) - (int32_t)p) * 6;
    for (which = 0; which < 2; which++) {
        const int32_t weight = model->weight[which] + bpz_floor_shift(odds[which] * error + 0x8000, 16);
        model->weight[which] = weight > limit ? limit : weight < -limit ? -limit : weight;
    }
    bpz_slot_learn(model, one, bit);
    bpz_slot_learn(model, two, bit);
    return bit;
}

static inline void bpz_model_row(bpz_model *model) {
    model->row_density = model->density;
    model->left = 0;
    model->left_sign = 0;
}

/* Which of BPZ_DENSITIES steps a probability of 16 bits belongs to: even steps of its log odds. */
static inline uint32_t bpz_density_step(const bpz_model *model, uint32_t p) {
    return (uint32_t)(model->stretch[p >> 4] + 2048) >> 7;
}

/* Whether the position in live column `column` is not zero. Goes through each row from left to right. */
static inline uint32_t bpz_model_survives(bpz_model *model, bpz_coder *coder, int encoding, uint64_t column,
                                          uint32_t bit) {
    const size_t bucket = (size_t)(column >> model->column_shift);
    uint16_t *const density = &model->column_density[bucket];
    bpz_slot *const by_column =
        &model->by_column[bpz_density_step(model, *density) * 4u + (model->above[bucket] != 0 ? 2u : 0u) + (model->left & 1u)];
    bpz_slot *const by_row = &model->by_row[bpz_density_step(model, model->row_density) * 4u + model->left];
    bit = bpz_model_mixed(model, coder, encoding, by_column, by_row, bit);
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

/* Sign and magnitude, 1 to 2^32 - 1, of a position that is not zero. */
static inline void bpz_model_value(bpz_model *model, bpz_coder *coder, int encoding, uint64_t column,
                                   uint32_t *negative, uint32_t *magnitude) {
    uint8_t *const above = &model->above[column >> model->column_shift];
    uint32_t exponent = 0, node = 1, number = 1, place;
    if (model->is_signed) {
        *negative = bpz_model_bit(model, coder, encoding, &model->sign[model->left_sign * 3u + *above], *negative);
    } else {
        *negative = 0;
    }
    *above = (uint8_t)(1u + *negative);
    model->left_sign = *above;
    for (; exponent < BPZ_EXPONENTS - 1u; exponent++) {
        const uint32_t more = encoding && *magnitude >> exponent > 1u ? 1u : 0u;
        if (!bpz_model_bit(model, coder, encoding, &model->more[exponent], more)) break;
    }
    for (place = exponent; place != 0; place--) {
        uint32_t bit = encoding ? *magnitude >> (place - 1u) & 1u : 0u;
        if (node < BPZ_DIGITS) {
            bit = bpz_model_bit(model, coder, encoding, &model->digit[exponent * BPZ_DIGITS + node], bit);
            node = node << 1 | bit;
        } else {
            bit = bpz_coder_bit(coder, encoding, 0x8000u, bit);
        }
        number = number << 1 | bit;
    }
    *magnitude = number;
}

#endif /* BPZ_ADAPTIVE_H */
