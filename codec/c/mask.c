/* mask.c - reads masks, and walks them. */
#include "mask.h"

/* Count the live indices of a mask of bits. */
static bpz_status count_raw(bpzi_bits *bits, uint64_t extent, uint64_t *live) {
    uint64_t index;
    uint32_t bit;
    *live = 0;
    for (index = 0; index < extent; index++) {
        const bpz_status status = bpzi_bits_read(bits, 1, &bit);
        if (status != BPZ_OK) return status;
        *live += bit;
    }
    return BPZ_OK;
}

/* The same of runs. A run is at least 1, so the extent bounds the loop, and the stream bounds it too: a run takes
 * bits. */
static bpz_status count_runs(bpzi_bits *bits, unsigned run_order, uint32_t is_run_live, uint64_t extent,
                             uint64_t *live) {
    uint64_t position = 0;
    uint32_t length;
    *live = 0;
    while (position < extent) {
        const bpz_status status = bpzi_bits_golomb(bits, run_order, &length);
        if (status != BPZ_OK) return status;
        if (length >= extent - position) return BPZ_ERROR_CORRUPT; /* `length` is the run's length - 1 */
        position += (uint64_t)length + 1u;
        if (is_run_live) *live += (uint64_t)length + 1u;
        is_run_live = !is_run_live;
    }
    return BPZ_OK;
}

bpz_status bpzi_mask_read(bpzi_mask *mask, bpzi_bits *bits, uint64_t extent) {
    uint32_t number;
    bpz_status status = bpzi_bits_read(bits, 2, &mask->mode);
    if (status != BPZ_OK) return status;
    mask->extent = extent;
    mask->live = extent;
    mask->run_order = 0;
    mask->is_run_live = 1;
    mask->bits = *bits;
    if (mask->mode == BPZ_MASK_NONE) return BPZ_OK;
    if (mask->mode == BPZ_MASK_RAW) {
        status = count_raw(bits, extent, &mask->live);
    } else if (mask->mode == BPZ_MASK_RUNS) {
        status = bpzi_bits_read(bits, 4, &number);
        if (status != BPZ_OK) return status;
        mask->run_order = number >> 1;
        mask->is_run_live = number & 1u;
        mask->bits = *bits;
        status = count_runs(bits, mask->run_order, mask->is_run_live, extent, &mask->live);
    } else {
        return BPZ_ERROR_CORRUPT;
    }
    if (status != BPZ_OK) return status;
    return mask->live == 0 || mask->live == extent ? BPZ_ERROR_CORRUPT : BPZ_OK;
}

/* The reads from here on cannot fail: bpzi_mask_read has read the same bits. */
static uint32_t next_bit(bpzi_mask *mask) {
    uint32_t bit = 1;
    (void)bpzi_bits_read(&mask->bits, 1, &bit);
    return bit;
}

/* Go to the first index of the next live run. `run_end` is the end of the live run before, or 0; a run that is not live
 * lies between, unless the mask begins with a live one. Afterwards the next run is not live. */
static void next_live_run(bpzi_mask *mask) {
    uint32_t length = 0;
    uint64_t start = mask->run_end;
    if (!mask->is_run_live) {
        (void)bpzi_bits_golomb(&mask->bits, mask->run_order, &length);
        start += (uint64_t)length + 1u;
    }
    (void)bpzi_bits_golomb(&mask->bits, mask->run_order, &length);
    mask->position = start;
    mask->run_end = start + length + 1u;
    mask->is_run_live = 0;
}

void bpzi_mask_begin(bpzi_mask *mask) {
    mask->position = 0;
    mask->run_end = 0;
    if (mask->mode == BPZ_MASK_RAW) {
        while (!next_bit(mask)) mask->position++;
    } else if (mask->mode == BPZ_MASK_RUNS) {
        next_live_run(mask);
    }
}

void bpzi_mask_skip(bpzi_mask *mask, uint64_t count) {
    if (mask->mode == BPZ_MASK_NONE) {
        mask->position += count;
    } else if (mask->mode == BPZ_MASK_RAW) {
        while (count-- != 0) {
            do mask->position++;
            while (!next_bit(mask));
        }
    } else {
        while (count >= mask->run_end - mask->position) {
            count -= mask->run_end - mask->position;
            next_live_run(mask);
        }
        mask->position += count;
    }
}
