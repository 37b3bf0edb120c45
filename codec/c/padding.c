/* padding.c - the padding bits of a bit stream. A file of its own: both decode.c and decode_adaptive.c call it, and
 * sources call each other in no circle.
 */
#include "decoder.h"

bpz_status bpzi_padding_read(bpzi_decoder *self) {
    const unsigned left = (unsigned)(bpzi_bits_left(&self->bits) % 8u);
    uint32_t padding = 0;
    if (self->bit_usage != NULL) self->bit_usage->padding = left;
    (void)bpzi_bits_read(&self->bits, left, &padding); /* cannot fail: these bits are left */
    return padding == 0 ? BPZ_OK : BPZ_ERROR_CORRUPT;
}
