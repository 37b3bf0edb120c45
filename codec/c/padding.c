/* padding.c - the zero bits between the last number of a section and the end of its byte. */
#include "decoder.h"

bpz_status bpzi_padding_read(bpzi_decoder *self) {
    const unsigned left = (unsigned)(bpzi_bits_left(&self->bits) % 8u);
    uint32_t padding = 0;
    if (self->bit_usage != NULL) self->bit_usage->padding = left;
    (void)bpzi_bits_read(&self->bits, left, &padding); /* cannot fail: they are there */
    return padding == 0 ? BPZ_OK : BPZ_ERROR_CORRUPT;
}
