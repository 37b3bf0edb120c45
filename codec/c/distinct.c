/* distinct.c - whether all tensors of a file have different names, without allocation.
 *
 * A file may have 4096 names of 255 bytes. Comparing all pairs would walk through the directory 4096 times, which a
 * hostile file could use to waste minutes; keeping all names would take a megabyte. So the entries are taken in blocks
 * of BPZ_BLOCK. One walk for each block puts the fingerprints of its names into a hash table on the stack, and looks up
 * the fingerprints of all names after it: n entries take n / BPZ_BLOCK walks, at most 16.
 *
 * A fingerprint that occurs twice is followed by a comparison of the names themselves, which walks through one block.
 * Names that are made to share fingerprints would cost such a walk each; therefore the fingerprint is 32 bits of
 * SipHash-2-4 (Aumasson and Bernstein 2012). Its key is fixed, so that results are the same on every run, and
 * collisions can be found by trying. But a collision of 32 bits takes tens of thousands of trials, and 4096 names that
 * all collide take 2^44: a walk through 256 entries is the most that a file gains by one.
 */
#include "distinct.h"

#define BPZ_BLOCK 256u
#define BPZ_SLOTS (2u * BPZ_BLOCK) /* 2 kB of stack */

/* A remainder by it is a mask, and half of the slots stay free, so that every search ends. */
BPZ_STATIC_ASSERT(slots_are_a_power_of_two, (BPZ_SLOTS & (BPZ_SLOTS - 1u)) == 0);

static uint64_t rotated(uint64_t word, unsigned places) { return word << places | word >> (64u - places); }

static void sip_rounds(uint64_t *v, unsigned count) {
    for (; count != 0; count--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotated(v[1], 13) ^ v[0];
        v[3] = rotated(v[3], 16) ^ v[2];
        v[0] = rotated(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotated(v[1], 17) ^ v[2];
        v[3] = rotated(v[3], 21) ^ v[0];
        v[2] = rotated(v[2], 32);
    }
}

static void sip_word(uint64_t *v, uint64_t word) {
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

/* The fingerprint of a name: SipHash-2-4 under a key of zeros. Never 0, which marks a free slot. */
static uint32_t fingerprint(const bpz_tensor *tensor) {
    uint64_t v[4] = {0x736F6D6570736575u, 0x646F72616E646F6Du, 0x6C7967656E657261u, 0x7465646279746573u};
    uint64_t word = 0, hash;
    size_t at;
    for (at = 0; at < tensor->name_length; at++) {
        word |= (uint64_t)(uint8_t)tensor->name[at] << (8u * (at % 8u));
        if (at % 8u == 7u) {
            sip_word(v, word);
            word = 0;
        }
    }
    sip_word(v, word | (uint64_t)tensor->name_length << 56);
    v[2] ^= 0xFFu;
    sip_rounds(v, 4);
    hash = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)hash != 0 ? (uint32_t)hash : 1u;
}

static int is_same_name(const bpz_tensor *one, const bpz_tensor *other) {
    size_t at = 0;
    /* Up to the NUL, which a name has after its end and nowhere within. */
    while (one->name[at] == other->name[at] && one->name[at] != 0) at++;
    return one->name[at] == other->name[at];
}

/* Whether an entry after `start`, within its block and before `tensor`, has the name of `tensor`. */
static int is_in_block(const bpz_file *file, const bpz_tensor *start, const bpz_tensor *tensor) {
    bpz_tensor other = *start;
    uint32_t left;
    for (left = BPZ_BLOCK; left != 0 && other.index + 1u < tensor->index; left--) {
        (void)bpz_next(file, &other); /* cannot fail: it was read before */
        if (is_same_name(&other, tensor)) return 1;
    }
    return 0;
}

/* Whether no entry after `start` has the name of one of the first BPZ_BLOCK of them. `start` moves past these. */
static int is_block_distinct(const bpz_file *file, bpz_tensor *start) {
    uint32_t seen[BPZ_SLOTS] = {0}; /* fingerprints; half of the slots stay free */
    bpz_tensor tensor = *start, behind = *start;
    uint32_t count = 0;
    for (; bpz_next(file, &tensor) == BPZ_OK; count++) {
        const uint32_t own = fingerprint(&tensor);
        uint32_t slot = own % BPZ_SLOTS;
        while (seen[slot] != 0 && seen[slot] != own) slot = (slot + 1u) % BPZ_SLOTS;
        if (seen[slot] == own && is_in_block(file, start, &tensor)) return 0;
        if (count < BPZ_BLOCK) {
            seen[slot] = own;
            behind = tensor;
        }
    }
    *start = behind;
    return 1;
}

int bpzi_names_are_distinct(const bpz_file *file) {
    bpz_tensor start;
    bpzi_before_first(file, &start);
    while (start.index + 1u < file->tensor_count) {
        if (!is_block_distinct(file, &start)) return 0;
    }
    return 1;
}
