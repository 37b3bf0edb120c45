/* adaptive.h - private: the adaptive layout, a binary range coder under a model of where weights survive and how large
 * they are (FORMAT.md, section 9). Encoder and decoder run the same code, so that they cannot drift apart: `encoding`
 * is a constant at each call, and the compiler keeps one half.
 *
 * Variables   range       width of the interval that the bits so far have narrowed down to
 *             at          decoding: where the stream's next 64 bits lie, from the interval's lower end;
 *                         encoding: the lower end, the bytes that the interval has left behind cut off
 *             passed      bytes that it has left behind
 * Invariants  range >= 2^32; decoding, at < range. Whatever the bits say, each call takes a bounded number of steps,
 *             and no byte at or after `end` is touched: behind it the stream is zeros.
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
#define BPZ_PLAIN_BITS 16u /* of equal probability that are coded at once */
#define BPZ_GAP_CONTEXTS 4u
#define BPZ_GAP_STEPS 16u  /* steps of a gap that are told apart */

/* An estimated probability of a one, in 65536ths and never 0, and how often it was corrected. */
typedef struct bpz_slot {
    uint16_t p;
    uint16_t seen;
} bpz_slot;

typedef struct bpz_coder {
    uint64_t range, at;
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
    bpz_slot gap[BPZ_GAP_CONTEXTS * BPZ_GAP_STEPS];
    int32_t weight[2];     /* of the two estimates, in 65536ths */
    uint16_t density;      /* of the whole matrix: where every estimate begins */
    uint16_t row_density;
    uint32_t left;         /* whether the two positions before have survived, the nearest in bit 0 */
    uint32_t left_sign;
    uint32_t column_shift; /* bits of a column's index that do not tell buckets apart */
    int is_signed;
    uint32_t gap_bits;     /* a gap is so many plain bits and a number of steps of 2^gap_bits */
    uint32_t gap_context;  /* how many steps the gap before had, by class */
} bpz_model;

/* Begin a matrix of `columns` live columns and `positions` live positions, `nonzero` of them not zero, of levels whose
 * magnitudes average 2^(mean_code / 4). */
void bpz_model_begin(bpz_model *model, uint64_t columns, uint64_t positions, uint64_t nonzero, uint32_t mean_code,
                     int is_signed);

/* Begin gaps, behind bpz_model_begin. */
void bpz_model_begin_gaps(bpz_model *model, uint32_t gap_bits);

/* Logistic function: d 256ths of log odds as a probability of 12 bits; |d| <= 2047. */
uint32_t bpz_squash(int32_t d);

/* v / 2^n towards minus infinity, which C leaves to the compiler. */
static inline int32_t bpz_floor_shift(int32_t v, unsigned n) {
    return v >= 0 ? v >> n : -(int32_t)((uint32_t)(-(v + 1)) >> n) - 1;
}

/* Four more bytes of the stream. */
static inline void bpz_coder_take(bpz_coder *coder) {
    if (coder->end - coder->next >= 4) {
        coder->at = coder->at << 32 | (uint32_t)coder->next[0] << 24 | (uint32_t)coder->next[1] << 16 |
                    (uint32_t)coder->next[2] << 8 | coder->next[3];
        coder->next += 4;
    } else {
        unsigned byte;
        for (byte = 0; byte < 4; byte++) coder->at = coder->at << 8 | (coder->next != coder->end ? *coder->next++ : 0u);
    }
}

static inline void bpz_coder_decode(bpz_coder *coder, const uint8_t *data, size_t size) {
    coder->range = UINT64_MAX;
    coder->at = 0;
    coder->next = data;
    coder->end = data + size;
    coder->out = NULL;
    coder->capacity = 0;
    coder->passed = 0;
    bpz_coder_take(coder);
    bpz_coder_take(coder);
    /* All ones are no place in the interval: a writer that means the last one stops short of it. */
    if (coder->at == UINT64_MAX) coder->at--;
}

static inline void bpz_coder_encode(bpz_coder *coder, uint8_t *out, size_t capacity) {
    bpz_coder_decode(coder, out, 0);
    coder->out = out;
    coder->capacity = capacity;
}

/* Encoding: the interval's lower end goes up. A carry runs through the bytes that were left behind. */
static inline void bpz_coder_add(bpz_coder *coder, uint64_t amount) {
    coder->at += amount;
    if (coder->at < amount) {
        uint64_t byte = coder->passed;
        while (byte != 0 && (--byte >= coder->capacity || ++coder->out[byte] == 0)) {}
    }
}

/* Leave four bytes behind when the interval has become narrow. Bytes past `capacity` are counted only. */
static inline void bpz_coder_shift(bpz_coder *coder, int encoding) {
    if (coder->range >> 32 != 0) return;
    coder->range <<= 32;
    if (encoding) {
        unsigned byte;
        for (byte = 0; byte < 4; byte++, coder->passed++, coder->at <<= 8) {
            if (coder->passed < coder->capacity) coder->out[coder->passed] = (uint8_t)(coder->at >> 56);
        }
    } else {
        coder->passed += 4u;
        bpz_coder_take(coder);
    }
}

/* Code one bit that is a one with probability p / 65536, 0 < p < 65536. */
static inline uint32_t bpz_coder_bit(bpz_coder *coder, int encoding, uint32_t p, uint32_t bit) {
    const uint64_t bound = (coder->range >> 16) * p;
    if (!encoding) bit = coder->at < bound;
    if (bit) {
        coder->range = bound;
    } else {
        coder->range -= bound;
        if (encoding) {
            bpz_coder_add(coder, bound);
        } else {
            coder->at -= bound;
        }
    }
    bpz_coder_shift(coder, encoding);
    return bit;
}

/* What bpz_coder_plain returns for a stream that no encoder makes: bits that leave any gap too large. */
#define BPZ_NO_NUMBER UINT64_MAX

/* Code `count` bits of equal probability, at most BPZ_PLAIN_BITS. Halving an odd range loses its last place. A stream
 * that points there is refused while decoding: `at` would no longer be below `range`. Once it is not, further halvings
 * leave it so; hence one look behind the last bit. */
static inline uint64_t bpz_coder_plain(bpz_coder *coder, int encoding, unsigned count, uint32_t number) {
    uint32_t coded = 0;
    while (count-- != 0) {
        uint32_t bit;
        coder->range >>= 1;
        bit = encoding ? number >> count & 1u : coder->at >= coder->range;
        if (encoding) {
            if (bit) bpz_coder_add(coder, coder->range);
        } else {
            coder->at -= coder->range & (0u - (uint64_t)bit);
        }
        coded = coded << 1 | bit;
    }
    if (!encoding && coder->at >= coder->range) return BPZ_NO_NUMBER;
    bpz_coder_shift(coder, encoding);
    return coded;
}

/* Bits that the stream has spent so far, to the next whole one. */
static inline uint64_t bpz_coder_spent(const bpz_coder *coder) {
    uint64_t width = coder->range, bits = coder->passed * 8u;
    for (; width >> 63 == 0; width <<= 1) bits++;
    return bits;
}

/* A one brings the estimate nearer to 65535, a zero nearer to 0. */
static inline void bpz_slot_learn(const bpz_model *model, bpz_slot *slot, uint32_t bit) {
    const uint32_t rate = model->rate[slot->seen];
    if (bit) {
        slot->p = (uint16_t)(slot->p + ((65535u - slot->p) * rate >> 16));
    } else {
        slot->p = (uint16_t)(slot->p - (slot->p * rate >> 16));
    }
    slot->seen = (uint16_t)(slot->seen + (slot->seen < BPZ_RATES - 1u));
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
    const uint32_t nearest = (model->above[bucket] != 0 ? 2u : 0u) + (model->left & 1u);
    bpz_slot *const by_column = &model->by_column[bpz_density_step(model, *density) * 4u + nearest];
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

/* Positions passed over before the next that is not zero. While decoding more than `room` where counting stopped there,
 * or the stream is one that no encoder makes. */
static inline uint64_t bpz_model_gap(bpz_model *model, bpz_coder *coder, int encoding, uint64_t gap, uint64_t room) {
    bpz_slot *const slots = &model->gap[model->gap_context * BPZ_GAP_STEPS];
    const uint64_t most = (encoding ? gap : room) >> model->gap_bits;
    uint64_t steps = 0;
    uint32_t left = model->gap_bits;
    for (;;) {
        bpz_slot *const slot = &slots[steps < BPZ_GAP_STEPS ? steps : BPZ_GAP_STEPS - 1u];
        if (!bpz_model_bit(model, coder, encoding, slot, encoding && steps != most)) break;
        if (steps++ == most) return UINT64_MAX;
    }
    model->gap_context = steps < 2u ? (uint32_t)steps : steps < 4u ? 2u : 3u;
    while (left != 0) {
        const uint32_t count = left < BPZ_PLAIN_BITS ? left : BPZ_PLAIN_BITS;
        uint32_t part;
        left -= count;
        part = (uint32_t)(gap >> left) & ((1u << count) - 1u);
        steps = steps << count | bpz_coder_plain(coder, encoding, count, part);
    }
    return steps;
}

static inline uint8_t *bpz_model_above(bpz_model *model, uint64_t column) {
    return &model->above[column >> model->column_shift];
}

/* Sign and magnitude, 1 to 2^32 - 1, of a position that is not zero. `above` is what lies above it, which this
 * becomes. */
static inline void bpz_model_value(bpz_model *model, bpz_coder *coder, int encoding, uint8_t *above, uint32_t *negative,
                                   uint32_t *magnitude) {
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
