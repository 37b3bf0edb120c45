/* decode.c - from a tensor's bit stream to values or levels, straight to their places. */
#include "bpz_internal.h"
#include "mask.h"

/* Where decoded symbols go: `out` holds 4-byte elements, floats or levels. */
typedef struct sink {
    unsigned char *out;
    const bpz_file *file;
    const bpz_tensor *tensor;
    int as_levels;
} sink;

/* The value map of FORMAT.md for a symbol in which 0 is the pruned weight. Returns 0 when there is no such value. */
static int put(const sink *s, uint32_t position, uint32_t symbol)
{
    const bpz_tensor *tensor = s->tensor;
    int32_t level;
    float value;
    if (tensor->kind == BPZ_CODEBOOK) {
        if (symbol >= tensor->codebook_size) {
            return 0;
        }
        level = (int32_t)symbol;
        value = symbol == 0 ? 0.0f : bpz_load_f32(s->file->data + tensor->map + 4 * (size_t)(symbol - 1));
    } else {
        if (symbol == 0xffffffffu) {
            return 0; /* level 2^31 */
        }
        level = symbol & 1u ? (int32_t)(symbol / 2 + 1) : -(int32_t)(symbol / 2);
        value = (float)level * tensor->step;
    }
    if (s->as_levels) {
        memcpy(s->out + 4 * (size_t)position, &level, 4);
    } else {
        memcpy(s->out + 4 * (size_t)position, &value, 4);
    }
    return 1;
}

/* The position of each live column in turn. */
typedef struct columns {
    bpz_mask live;
    uint32_t next; /* column that the mask's next bit speaks of */
} columns;

static columns columns_open(const bpz_mask *mask)
{
    columns c;
    c.live = *mask;
    c.next = 0;
    return c;
}

/* Move past `skip` live columns to the one behind them; its number. The caller keeps within the live ones. */
static uint32_t columns_skip(columns *c, uint32_t skip)
{
    if (c->live.mode == BPZ_MASK_NONE) {
        c->next += skip + 1;
        return c->next - 1;
    }
    for (;;) {
        const uint32_t alive = bpz_mask_next(&c->live);
        c->next++;
        if (alive && skip-- == 0) {
            return c->next - 1;
        }
    }
}

/* Everything that describes the entries, once its header is read. */
typedef struct plan {
    bpz_mask rows, columns;
    uint32_t live_rows, live_columns;
    uint32_t csr, index_bits;
    bpz_stream counts, indices, values;
} plan;

static bpz_status plan_open(plan *p, bpz_bits *bits, const bpz_tensor *tensor, bpz_workspace *workspace)
{
    bpz_status status = bpz_mask_open(&p->rows, bits, tensor->rows, &p->live_rows);
    if (status == BPZ_OK) {
        status = bpz_mask_open(&p->columns, bits, tensor->columns, &p->live_columns);
    }
    if (status != BPZ_OK) {
        return status;
    }
    p->csr = bpz_bits_read(bits, 1);
    if (p->csr) {
        p->index_bits = bpz_bits_read(bits, 4);
        if (p->index_bits < 1 || p->index_bits > BPZ_MAX_INDEX_BITS) {
            return bits->failed ? BPZ_ERROR_TRUNCATED : BPZ_ERROR_CORRUPT;
        }
        status = bpz_stream_open(&p->counts, bits, workspace->tables[0], workspace->lengths);
        if (status == BPZ_OK) {
            status = bpz_stream_open(&p->indices, bits, workspace->tables[1], workspace->lengths);
        }
    }
    if (status == BPZ_OK) {
        status = bpz_stream_open(&p->values, bits, workspace->tables[2], workspace->lengths);
    }
    return status;
}

/* One row's entries, index and value interleaved; `row` is the position of its first element. */
static bpz_status read_sparse_row(const plan *p, bpz_bits *bits, const sink *s, uint32_t row, uint32_t count)
{
    const uint32_t filler = ((uint32_t)1 << p->index_bits) - 1;
    columns c = columns_open(&p->columns);
    uint32_t used = 0; /* live columns passed so far */
    while (count-- > 0) {
        uint32_t gap = 0, symbol, value;
        while ((symbol = bpz_stream_read(&p->indices, bits)) == filler) {
            gap += filler;
            if (bits->failed || gap >= p->live_columns - used) {
                return bits->failed ? BPZ_ERROR_TRUNCATED : BPZ_ERROR_CORRUPT;
            }
        }
        if (symbol > filler || symbol >= p->live_columns - used - gap) {
            return bits->failed ? BPZ_ERROR_TRUNCATED : BPZ_ERROR_CORRUPT;
        }
        gap += symbol;
        used += gap + 1;
        value = bpz_stream_read(&p->values, bits);
        if (bits->failed) {
            return BPZ_ERROR_TRUNCATED;
        }
        if (value == 0xffffffffu || !put(s, row + columns_skip(&c, gap), value + 1)) {
            return BPZ_ERROR_CORRUPT;
        }
    }
    return BPZ_OK;
}

static bpz_status read_dense_row(const plan *p, bpz_bits *bits, const sink *s, uint32_t row)
{
    columns c = columns_open(&p->columns);
    uint32_t i;
    for (i = 0; i < p->live_columns; i++) {
        const uint32_t symbol = bpz_stream_read(&p->values, bits);
        if (bits->failed) {
            return BPZ_ERROR_TRUNCATED;
        }
        if (!put(s, row + columns_skip(&c, 0), symbol)) {
            return BPZ_ERROR_CORRUPT;
        }
    }
    return BPZ_OK;
}

static bpz_status read_entries(const plan *p, bpz_bits *bits, const sink *s)
{
    bpz_mask rows = p->rows;
    uint32_t row;
    for (row = 0; row < s->tensor->rows; row++) {
        const uint32_t begin = row * s->tensor->columns;
        bpz_status status;
        if (!bpz_mask_next(&rows)) {
            continue;
        }
        if (p->csr) {
            const uint32_t count = bpz_stream_read(&p->counts, bits);
            if (bits->failed || count > p->live_columns) {
                return bits->failed ? BPZ_ERROR_TRUNCATED : BPZ_ERROR_CORRUPT;
            }
            status = read_sparse_row(p, bits, s, begin, count);
        } else {
            status = read_dense_row(p, bits, s, begin);
        }
        if (status != BPZ_OK) {
            return status;
        }
    }
    return BPZ_OK;
}

static bpz_status decode(const sink *s, void *workspace, size_t workspace_size)
{
    const bpz_tensor *tensor = s->tensor;
    bpz_bits bits;
    bpz_status status;
    plan p;
    if (tensor->count == 0) {
        return BPZ_OK;
    }
    if (workspace == NULL || workspace_size < sizeof(bpz_workspace)) {
        return BPZ_ERROR_BUFFER_TOO_SMALL;
    }
    memset(s->out, 0, 4 * (size_t)tensor->count); /* level 0 and 0.0f alike */
    bpz_bits_open(&bits, s->file->data + tensor->payload, tensor->payload_size);
    memset(&p, 0, sizeof p);
    status = plan_open(&p, &bits, tensor, workspace);
    if (status == BPZ_OK) {
        status = read_entries(&p, &bits, s);
    }
    if (status != BPZ_OK) {
        return status;
    }
    /* Fewer than eight bits may be left, all of them zero. */
    bpz_bits_fill(&bits);
    return bits.held < 8 && bits.buffer == 0 ? BPZ_OK : BPZ_ERROR_TRAILING;
}

size_t bpz_workspace_size(void)
{
    return sizeof(bpz_workspace);
}

bpz_status bpz_decode_f32(const bpz_file *file, const bpz_tensor *tensor, float *out, size_t out_count,
                          void *workspace, size_t workspace_size)
{
    sink s;
    uint32_t i;
    if (file == NULL || tensor == NULL || (out == NULL && tensor->count > 0)) {
        return BPZ_ERROR_ARGUMENT;
    }
    if (out_count < tensor->count) {
        return BPZ_ERROR_BUFFER_TOO_SMALL;
    }
    if (tensor->kind == BPZ_RAW) {
        for (i = 0; i < tensor->count; i++) {
            out[i] = bpz_load_f32(file->data + tensor->payload + 4 * (size_t)i);
        }
        return BPZ_OK;
    }
    s.out = (unsigned char *)out;
    s.file = file;
    s.tensor = tensor;
    s.as_levels = 0;
    return decode(&s, workspace, workspace_size);
}

bpz_status bpz_decode_levels(const bpz_file *file, const bpz_tensor *tensor, int32_t *out, size_t out_count,
                             void *workspace, size_t workspace_size)
{
    sink s;
    if (file == NULL || tensor == NULL || (out == NULL && tensor->count > 0) || tensor->kind == BPZ_RAW) {
        return BPZ_ERROR_ARGUMENT;
    }
    if (out_count < tensor->count) {
        return BPZ_ERROR_BUFFER_TOO_SMALL;
    }
    s.out = (unsigned char *)out;
    s.file = file;
    s.tensor = tensor;
    s.as_levels = 1;
    return decode(&s, workspace, workspace_size);
}

bpz_status bpz_codebook(const bpz_file *file, const bpz_tensor *tensor, float *out, size_t out_count)
{
    uint32_t entry;
    if (file == NULL || tensor == NULL || out == NULL || tensor->kind != BPZ_CODEBOOK) {
        return BPZ_ERROR_ARGUMENT;
    }
    if (out_count < tensor->codebook_size) {
        return BPZ_ERROR_BUFFER_TOO_SMALL;
    }
    out[0] = 0.0f;
    for (entry = 1; entry < tensor->codebook_size; entry++) {
        out[entry] = bpz_load_f32(file->data + tensor->map + 4 * (size_t)(entry - 1));
    }
    return BPZ_OK;
}
