/* encode.c - the mirror of decode.c: a plan and symbols in, a bit stream out. */
#include "bpz_encode.h"
#include "bpz_internal.h"

/* Bits go into each byte lowest first. `held` < 8 bits wait in `buffer`; `status` is the first failure. */
typedef struct writer {
    uint8_t *out;
    size_t size, capacity;
    uint64_t buffer;
    uint32_t held;
    bpz_status status;
} writer;

typedef struct encode_workspace {
    uint16_t codes[3][BPZ_MAX_ALPHABET]; /* bits already in stream order */
} encode_workspace;

static void write_bits(writer *w, uint64_t value, uint32_t count)
{
    w->buffer |= value << w->held; /* count <= 33 and held < 8: nothing is shifted out */
    w->held += count;
    while (w->held >= 8) {
        if (w->size == w->capacity) {
            w->status = BPZ_ERROR_BUFFER_TOO_SMALL;
            w->held = 0;
            return;
        }
        w->out[w->size++] = (uint8_t)(w->buffer & 255u);
        w->buffer >>= 8;
        w->held -= 8;
    }
}

static void write_golomb(writer *w, uint32_t value, uint32_t order)
{
    uint32_t zeros = 0;
    while (((((uint64_t)1 << (zeros + 1)) - 1) << order) <= value) {
        zeros++;
    }
    if (zeros + order > BPZ_MAX_GOLOMB_BITS) {
        w->status = BPZ_ERROR_ARGUMENT;
        return;
    }
    write_bits(w, (uint64_t)1 << zeros, zeros + 1);
    write_bits(w, value - ((((uint64_t)1 << zeros) - 1) << order), zeros + order);
}

static void write_lengths(writer *w, const bpz_stream_plan *plan)
{
    int32_t previous = 0;
    uint32_t symbol;
    for (symbol = 0; symbol < plan->alphabet && previous == 0; symbol++) {
        previous = plan->lengths[symbol];
    }
    write_bits(w, (uint32_t)previous, 4);
    for (symbol = 0; symbol < plan->alphabet; symbol++) {
        const int32_t length = plan->lengths[symbol], change = length - previous;
        if (length == 0) {
            write_golomb(w, 3, 0);
            continue;
        }
        if (change >= 0) {
            write_golomb(w, (uint32_t)(change < 2 ? change : 2 * change), 0);
        } else {
            write_golomb(w, (uint32_t)(change == -1 ? 2 : -2 * change + 1), 0);
        }
        previous = length;
    }
}

static void write_huffman_code(writer *w, const bpz_stream_plan *plan, uint16_t *codes)
{
    uint32_t counts[BPZ_MAX_CODE_LENGTH + 1] = {0}, next[BPZ_MAX_CODE_LENGTH + 1], symbol;
    if (plan->alphabet < 2 || plan->alphabet > BPZ_MAX_ALPHABET) {
        w->status = BPZ_ERROR_ARGUMENT;
        return;
    }
    for (symbol = 0; symbol < plan->alphabet; symbol++) {
        if (plan->lengths[symbol] > BPZ_MAX_CODE_LENGTH) {
            w->status = BPZ_ERROR_ARGUMENT;
            return;
        }
        counts[plan->lengths[symbol]] += plan->lengths[symbol] != 0;
    }
    if (!bpz_first_codes(counts, next)) {
        w->status = BPZ_ERROR_ARGUMENT;
        return;
    }
    for (symbol = 0; symbol < plan->alphabet; symbol++) {
        const uint32_t length = plan->lengths[symbol];
        codes[symbol] = length == 0 ? 0 : (uint16_t)bpz_reverse(next[length]++, length);
    }
    write_golomb(w, plan->alphabet, 4);
    write_lengths(w, plan);
}

static void open_stream(writer *w, const bpz_stream_plan *plan, uint16_t *codes)
{
    write_bits(w, plan->mode & 3u, 2);
    switch (plan->mode) {
    case BPZ_STREAM_CONSTANT:
        write_golomb(w, plan->parameter, 0);
        break;
    case BPZ_STREAM_FIXED:
        write_bits(w, (plan->parameter - 1) & 31u, 5);
        break;
    case BPZ_STREAM_HUFFMAN:
        write_huffman_code(w, plan, codes);
        break;
    default:
        write_bits(w, plan->parameter & 15u, 4);
        break;
    }
}

static void write_symbol(writer *w, const bpz_stream_plan *plan, const uint16_t *codes, uint32_t symbol)
{
    int representable = 1;
    switch (plan->mode) {
    case BPZ_STREAM_CONSTANT:
        representable = symbol == plan->parameter;
        break;
    case BPZ_STREAM_FIXED:
        representable = (uint64_t)symbol >> plan->parameter == 0;
        if (representable) {
            write_bits(w, symbol, plan->parameter);
        }
        break;
    case BPZ_STREAM_HUFFMAN:
        representable = symbol < plan->alphabet && plan->lengths[symbol] != 0;
        if (representable) {
            write_bits(w, codes[symbol], plan->lengths[symbol]);
        }
        break;
    default:
        write_golomb(w, symbol, plan->parameter);
        break;
    }
    if (!representable) {
        w->status = BPZ_ERROR_ARGUMENT;
    }
}

static void write_mask(writer *w, uint32_t mode, const uint8_t *live, uint32_t length)
{
    uint32_t i, run;
    write_bits(w, mode & 3u, 2);
    if (mode == BPZ_MASK_BITS) {
        for (i = 0; i < length; i++) {
            write_bits(w, live[i] & 1u, 1);
        }
    } else if (mode == BPZ_MASK_RUNS) {
        write_bits(w, live[0] & 1u, 1);
        for (i = 0; i < length; i += run) {
            run = 1;
            while (i + run < length && live[i + run] == live[i]) {
                run++;
            }
            write_golomb(w, run - 1, 0);
        }
    }
}

static void write_sparse_row(writer *w, const bpz_plan *plan, const encode_workspace *codes, const uint32_t *row,
                             uint32_t columns)
{
    const uint32_t filler = ((uint32_t)1 << plan->index_bits) - 1;
    uint32_t column, gap = 0, count = 0;
    for (column = 0; column < columns; column++) {
        count += row[column] != 0;
    }
    write_symbol(w, &plan->counts, codes->codes[0], count);
    for (column = 0; column < columns && w->status == BPZ_OK; column++) {
        if (!plan->live_columns[column]) {
            continue;
        }
        if (row[column] == 0) {
            gap++;
            continue;
        }
        for (; gap >= filler; gap -= filler) {
            write_symbol(w, &plan->indices, codes->codes[1], filler);
        }
        write_symbol(w, &plan->indices, codes->codes[1], gap);
        write_symbol(w, &plan->values, codes->codes[2], row[column] - 1);
        gap = 0;
    }
}

static void write_dense_row(writer *w, const bpz_plan *plan, const encode_workspace *codes, const uint32_t *row,
                            uint32_t columns)
{
    uint32_t column;
    for (column = 0; column < columns; column++) {
        if (plan->live_columns[column]) {
            write_symbol(w, &plan->values, codes->codes[2], row[column]);
        }
    }
}

/* Whether a mask would drop a non-zero. */
static int masked_out(const uint32_t *symbols, uint32_t rows, uint32_t columns, const bpz_plan *plan)
{
    uint32_t row, column;
    for (row = 0; row < rows; row++) {
        for (column = 0; column < columns; column++) {
            if (symbols[(size_t)row * columns + column] != 0 && !(plan->live_rows[row] && plan->live_columns[column])) {
                return 1;
            }
        }
    }
    return 0;
}

size_t bpz_encode_workspace_size(void)
{
    return sizeof(encode_workspace);
}

bpz_status bpz_encode(const uint32_t *symbols, uint32_t rows, uint32_t columns, const bpz_plan *plan,
                      uint8_t *out, size_t capacity, size_t *size, void *workspace, size_t workspace_size)
{
    encode_workspace *codes = workspace;
    uint32_t row;
    writer w;
    if (symbols == NULL || plan == NULL || out == NULL || size == NULL || workspace == NULL ||
        (plan->csr && (plan->index_bits < 1 || plan->index_bits > BPZ_MAX_INDEX_BITS)) ||
        masked_out(symbols, rows, columns, plan)) {
        return BPZ_ERROR_ARGUMENT;
    }
    if (workspace_size < sizeof *codes) {
        return BPZ_ERROR_BUFFER_TOO_SMALL;
    }
    memset(&w, 0, sizeof w);
    w.out = out;
    w.capacity = capacity;
    write_mask(&w, plan->row_mask, plan->live_rows, rows);
    write_mask(&w, plan->column_mask, plan->live_columns, columns);
    write_bits(&w, plan->csr & 1u, 1);
    if (plan->csr) {
        write_bits(&w, plan->index_bits, 4);
        open_stream(&w, &plan->counts, codes->codes[0]);
        open_stream(&w, &plan->indices, codes->codes[1]);
    }
    open_stream(&w, &plan->values, codes->codes[2]);
    for (row = 0; row < rows && w.status == BPZ_OK; row++) {
        if (!plan->live_rows[row]) {
            continue;
        }
        if (plan->csr) {
            write_sparse_row(&w, plan, codes, symbols + (size_t)row * columns, columns);
        } else {
            write_dense_row(&w, plan, codes, symbols + (size_t)row * columns, columns);
        }
    }
    if (w.status == BPZ_OK && w.held > 0) {
        write_bits(&w, 0, 8 - w.held);
    }
    *size = w.size;
    return w.status;
}
