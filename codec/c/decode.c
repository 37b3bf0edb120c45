/* decode.c - a record's bit stream into levels or float32 values, in one pass (FORMAT.md, sections 5 to 7). */
#include <string.h>

#include "code.h"
#include "mask.h"
#include "adaptive.h"
#include "quick.h"
#include "sink.h"

#define BPZ_LAYOUT_DENSE 0u
#define BPZ_LAYOUT_ROWS 1u
#define BPZ_LAYOUT_RUNNING 2u
#define BPZ_LAYOUT_ADAPTIVE 3u

/* What the caller lends: a decoding table for each stream and room for one list of code lengths, or a model. */
typedef union workspace {
    struct {
        uint16_t rows[BPZ_TABLE_ENTRIES];
        uint16_t indices[BPZ_TABLE_ENTRIES];
        uint16_t values[BPZ_TABLE_ENTRIES];
        float quick[BPZ_QUICK_VALUES];
        uint8_t lengths[BPZ_MAX_SYMBOLS];
    } tables;
    bpz_model model;
} workspace;

BPZ_STATIC_ASSERT(levels_and_floats_share_a_size, sizeof(int32_t) == sizeof(float));

/* One record's decoding. The position (row, column) counts live rows and columns only; row_mask and
 * column_mask turn it into one of the whole matrix. */
typedef struct decoder {
    bpz_bits bits;
    bpz_sink out;
    uint64_t columns;
    uint64_t nonzero;
    bpz_mask row_mask;
    bpz_mask first_column; /* never begun: copied for each row */
    bpz_mask column_mask;
    uint32_t layout;
    uint32_t filler;
    uint32_t mean_code;
    bpz_code row_code, index_code, value_code;
    bpz_spent *spent;
} decoder;

size_t bpz_workspace_size(void) { return sizeof(workspace); }

/* Put one level at the current position. */
static bpz_status put(decoder *self, int32_t level) {
    return bpz_sink_put(&self->out, self->row_mask.position, self->column_mask.position, self->columns, level);
}

/* A value number as a level. `skipped` is 1 where zero has no number of its own, else 0. */
static bpz_status level_of(uint32_t kind, uint32_t number, uint32_t skipped, int32_t *level) {
    const uint64_t shifted = (uint64_t)number + skipped;
    if (kind == BPZ_KIND_CODEBOOK) {
        if (shifted > INT32_MAX) return BPZ_ERROR_CORRUPT;
        *level = (int32_t)shifted;
        return BPZ_OK;
    }
    /* 0, 1, 2, 3, 4 mean 0, 1, -1, 2, -2 */
    if (shifted > 0xFFFFFFFFu + (uint64_t)1) return BPZ_ERROR_CORRUPT;
    if (shifted % 2u == 1u) {
        if (shifted / 2u + 1u > INT32_MAX) return BPZ_ERROR_CORRUPT;
        *level = (int32_t)(shifted / 2u + 1u);
    } else {
        *level = (int32_t)-(int64_t)(shifted / 2u);
    }
    return BPZ_OK;
}

static void begin_columns(decoder *self) {
    self->column_mask = self->first_column;
    bpz_mask_begin(&self->column_mask);
}

static void next_row(decoder *self, uint64_t rows) {
    bpz_mask_skip(&self->row_mask, rows);
    begin_columns(self);
}

/* Read one value and put it at the current position. */
static bpz_status read_value(decoder *self, uint32_t skipped, int32_t *level) {
    const uint64_t before = bpz_bits_left(&self->bits);
    uint32_t number;
    bpz_status status = bpz_code_next(&self->value_code, &self->bits, &number);
    if (status != BPZ_OK) return status;
    self->spent->values += before - bpz_bits_left(&self->bits);
    status = level_of(self->out.map->kind, number, skipped, level);
    if (status != BPZ_OK) return status;
    return put(self, *level);
}

/* Positions between the previous non-zero and the next. Each filler moves on by at least one position, so
 * that no more than `room` of them are read whatever the bits say. */
static bpz_status read_gap(decoder *self, uint64_t room, uint64_t *gap) {
    const uint64_t before = bpz_bits_left(&self->bits);
    uint32_t number;
    *gap = 0;
    do {
        const bpz_status status = bpz_code_next(&self->index_code, &self->bits, &number);
        if (status != BPZ_OK) return status;
        if (number > self->filler) return BPZ_ERROR_CORRUPT;
        *gap += number;
        if (*gap >= room) return BPZ_ERROR_CORRUPT;
    } while (number == self->filler);
    self->spent->indices += before - bpz_bits_left(&self->bits);
    return BPZ_OK;
}

static bpz_status decode_dense(decoder *self) {
    uint64_t row, column, nonzero = 0;
    int32_t level;
    for (row = 0; row < self->row_mask.live; row++) {
        if (row != 0) next_row(self, 1);
        for (column = 0; column < self->first_column.live; column++) {
            bpz_status status;
            if (column != 0) bpz_mask_skip(&self->column_mask, 1);
            status = read_value(self, 0, &level);
            if (status != BPZ_OK) return status;
            nonzero += level != 0;
        }
    }
    return nonzero == self->nonzero ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

static bpz_status decode_rows(decoder *self) {
    const uint64_t columns = self->first_column.live;
    uint64_t row, left = self->nonzero;
    for (row = 0; row < self->row_mask.live; row++) {
        const uint64_t before = bpz_bits_left(&self->bits);
        uint64_t next = 0, column = 0, gap; /* the first column not yet passed, and the cursor's */
        uint32_t in_row;
        bpz_status status;
        int32_t level;
        if (row != 0) next_row(self, 1);
        status = bpz_code_next(&self->row_code, &self->bits, &in_row);
        if (status != BPZ_OK) return status;
        self->spent->rows += before - bpz_bits_left(&self->bits);
        if (in_row > left || in_row > columns) return BPZ_ERROR_CORRUPT;
        left -= in_row;
        for (; in_row != 0; in_row--) {
            status = read_gap(self, columns - next, &gap);
            if (status != BPZ_OK) return status;
            bpz_mask_skip(&self->column_mask, next + gap - column);
            column = next + gap;
            next = column + 1u;
            status = read_value(self, 1, &level);
            if (status != BPZ_OK) return status;
        }
    }
    return left == 0 ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* What the quick decoder needs, where it is of use: no masks to follow, and no account of the bits wanted. */
static bpz_quick quick_for(decoder *self, float *values) {
    bpz_quick quick;
    int32_t level;
    memset(&quick, 0, sizeof quick);
    quick.positions = self->row_mask.live * self->first_column.live;
    quick.columns = self->columns;
    quick.nonzero = self->nonzero;
    quick.filler = self->filler;
    quick.index_code = &self->index_code;
    quick.value_code = &self->value_code;
    quick.out = &self->out;
    quick.values = values;
    if (self->out.levels != NULL || self->row_mask.mode != BPZ_MASK_NONE || self->first_column.mode != BPZ_MASK_NONE) {
        return quick;
    }
    while (quick.known < BPZ_QUICK_VALUES &&
           level_of(self->out.map->kind, quick.known, 1, &level) == BPZ_OK &&
           bpz_sink_value(self->out.map, level, &values[quick.known]) == BPZ_OK) {
        quick.known++;
    }
    return quick;
}

static bpz_status decode_running(decoder *self, float *values) {
    const uint64_t columns = self->first_column.live;
    uint64_t row = 0, column = 0, gap; /* the cursor's */
    bpz_quick quick = quick_for(self, values);
    for (;;) {
        uint64_t target;
        int32_t level;
        bpz_status status = bpz_quick_running(&quick, &self->bits);
        if (status != BPZ_OK || quick.entry == self->nonzero) return status;
        status = read_gap(self, quick.positions - quick.position, &gap);
        if (status != BPZ_OK) return status;
        target = quick.position + gap;
        if (target / columns != row) {
            next_row(self, target / columns - row);
            row = target / columns;
            column = 0;
        }
        bpz_mask_skip(&self->column_mask, target % columns - column);
        column = target % columns;
        status = read_value(self, 1, &level);
        if (status != BPZ_OK) return status;
        quick.entry++;
        quick.position = target + 1u;
    }
}

/* The descriptions before the entries: layout, masks, index width, codes. */
static bpz_status read_head(decoder *self, uint64_t rows, workspace *room) {
    const uint64_t start = bpz_bits_left(&self->bits);
    uint64_t before;
    uint32_t bits_of_index;
    bpz_status status = bpz_bits_read(&self->bits, 2, &self->layout);
    if (status != BPZ_OK) return status;
    self->spent->layout = self->layout;

    before = bpz_bits_left(&self->bits);
    status = bpz_mask_read(&self->row_mask, &self->bits, rows);
    if (status != BPZ_OK) return status;
    status = bpz_mask_read(&self->first_column, &self->bits, self->columns);
    if (status != BPZ_OK) return status;
    if (self->nonzero > self->row_mask.live * self->first_column.live) return BPZ_ERROR_CORRUPT;
    self->spent->masks = before - bpz_bits_left(&self->bits);

    if (self->layout == BPZ_LAYOUT_ADAPTIVE) {
        status = bpz_bits_read(&self->bits, BPZ_MEAN_BITS, &self->mean_code);
        self->spent->tables = start - bpz_bits_left(&self->bits) - self->spent->masks;
        return status;
    }
    if (self->layout == BPZ_LAYOUT_ROWS) {
        status = bpz_code_read(&self->row_code, &self->bits, room->tables.rows, room->tables.lengths);
        if (status != BPZ_OK) return status;
    }
    if (self->layout != BPZ_LAYOUT_DENSE) {
        status = bpz_bits_read(&self->bits, 5, &bits_of_index);
        if (status != BPZ_OK) return status;
        if (bits_of_index == 0) return BPZ_ERROR_CORRUPT;
        self->spent->index_bits = bits_of_index;
        self->filler = (uint32_t)(((uint64_t)1 << bits_of_index) - 1u);
        status = bpz_code_read(&self->index_code, &self->bits, room->tables.indices, room->tables.lengths);
        if (status != BPZ_OK) return status;
    }
    status = bpz_code_read(&self->value_code, &self->bits, room->tables.values, room->tables.lengths);
    if (status != BPZ_OK) return status;
    self->spent->tables = start - bpz_bits_left(&self->bits) - self->spent->masks;
    return BPZ_OK;
}

/* Zero bits up to the end of a byte. */
static bpz_status read_padding(decoder *self) {
    const unsigned left = (unsigned)(bpz_bits_left(&self->bits) % 8u);
    uint32_t padding = 0;
    self->spent->padding = left;
    (void)bpz_bits_read(&self->bits, left, &padding); /* cannot fail: they are there */
    return padding == 0 ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* Sign and magnitude as a level; a codebook's are its indices. */
static bpz_status signed_level(uint32_t negative, uint32_t magnitude, int32_t *level) {
    if (magnitude > (uint32_t)INT32_MAX + negative) return BPZ_ERROR_CORRUPT;
    *level = negative ? (int32_t)-(int64_t)magnitude : (int32_t)magnitude;
    return BPZ_OK;
}

/* The adaptive layout: a stream that begins at a byte and ends where the record does. */
static bpz_status decode_adaptive(decoder *self, const bpz_record *record, bpz_model *model) {
    const uint64_t columns = self->first_column.live;
    uint64_t row, column, nonzero = 0;
    bpz_coder coder;
    size_t size;
    bpz_status status = read_padding(self);
    if (status != BPZ_OK) return status;
    size = (size_t)(bpz_bits_left(&self->bits) / 8u);
    /* The zeros that end a stream are not stored. */
    if (size != 0 && record->payload[record->payload_size - 1u] == 0) return BPZ_ERROR_CORRUPT;
    bpz_coder_decode(&coder, record->payload + (record->payload_size - size), size);
    bpz_model_begin(model, columns, self->row_mask.live * columns, self->nonzero, self->mean_code,
                    self->out.map->kind == BPZ_KIND_GRID);
    for (row = 0; row < self->row_mask.live; row++) {
        if (row != 0) next_row(self, 1);
        bpz_model_row(model);
        for (column = 0; column < columns; column++) {
            uint32_t negative = 0, magnitude = 0;
            uint64_t before;
            int32_t level;
            if (column != 0) bpz_mask_skip(&self->column_mask, 1);
            if (!bpz_model_survives(model, &coder, 0, column, 0)) continue;
            if (nonzero++ == self->nonzero) return BPZ_ERROR_CORRUPT;
            before = bpz_coder_spent(&coder);
            bpz_model_value(model, &coder, 0, column, &negative, &magnitude);
            self->spent->values += bpz_coder_spent(&coder) - before;
            status = signed_level(negative, magnitude, &level);
            if (status == BPZ_OK) status = put(self, level);
            if (status != BPZ_OK) return status;
        }
    }
    /* One byte settles the last interval; a writer's stream has no more. */
    if (nonzero != self->nonzero || size > coder.passed + 1u) return BPZ_ERROR_CORRUPT;
    if (self->spent->values > 8u * (uint64_t)size) self->spent->values = 8u * (uint64_t)size;
    self->spent->indices = 8u * (uint64_t)size - self->spent->values;
    return BPZ_OK;
}

static bpz_status decode_stream(const bpz_record *record, bpz_sink *out, workspace *room, bpz_spent *spent) {
    decoder self;
    bpz_status status;
    memset(&self, 0, sizeof self);
    self.bits = bpz_bits_at(record->payload, record->payload_size);
    self.out = *out;
    self.out.map = &record->map;
    self.columns = record->tensor.columns;
    self.nonzero = record->tensor.nonzero;
    self.spent = spent;
    status = read_head(&self, record->tensor.rows, room);
    if (status != BPZ_OK) return status;
    bpz_mask_begin(&self.row_mask);
    next_row(&self, 0);
    if (self.layout == BPZ_LAYOUT_ADAPTIVE) {
        status = decode_adaptive(&self, record, &room->model);
    } else {
        status = self.layout == BPZ_LAYOUT_DENSE ? decode_dense(&self)
                 : self.layout == BPZ_LAYOUT_ROWS ? decode_rows(&self)
                                                  : decode_running(&self, room->tables.quick);
        if (status == BPZ_OK && bpz_bits_left(&self.bits) >= 8u) status = BPZ_ERROR_CORRUPT;
        if (status == BPZ_OK) status = read_padding(&self);
    }
    if (status == BPZ_OK) bpz_sink_end(&self.out, record->tensor.rows);
    return status;
}

static bpz_status decode_raw(const bpz_record *record, float *out) {
    uint64_t index;
    for (index = 0; index < record->tensor.count; index++) {
        const float value = bpz_float_at(record->payload + 4u * (size_t)index);
        if (!bpz_is_finite(value)) return BPZ_ERROR_CORRUPT;
        out[index] = value;
    }
    return BPZ_OK;
}

/* The checks that the decoding calls share; fills `record` afresh, so that nothing in `tensor` but its offset
 * and length is trusted. */
static bpz_status prepare(const bpz_file *file, const bpz_tensor *tensor, bpz_record *record) {
    if (file == NULL || tensor == NULL) return BPZ_ERROR_ARGUMENT;
    if (tensor->offset < file->first_tensor || tensor->offset > file->size - 4u ||
        tensor->length > file->size - 4u - tensor->offset) {
        return BPZ_ERROR_ARGUMENT;
    }
    return bpz_record_read(record, NULL, file->data, tensor->offset, tensor->offset + tensor->length);
}

static bpz_status check_room(const bpz_record *record, const void *out, size_t out_count, const void *room,
                             size_t room_size) {
    if (out == NULL || room == NULL || (uintptr_t)room % sizeof(uint64_t) != 0) return BPZ_ERROR_ARGUMENT;
    if (out_count < record->tensor.count || room_size < sizeof(workspace)) return BPZ_ERROR_BUFFER_TOO_SMALL;
    return BPZ_OK;
}

bpz_status bpz_decode_f32(const bpz_file *file, const bpz_tensor *tensor, float *out, size_t out_count,
                          void *workspace_, size_t workspace_size) {
    bpz_record record;
    bpz_spent spent;
    bpz_sink to;
    bpz_status status = prepare(file, tensor, &record);
    if (status == BPZ_OK) status = check_room(&record, out, out_count, workspace_, workspace_size);
    if (status != BPZ_OK) return status;
    if (record.map.kind == BPZ_KIND_RAW) return decode_raw(&record, out);
    memset(out, 0, (size_t)record.tensor.count * sizeof *out);
    if (record.tensor.nonzero == 0) return BPZ_OK;
    memset(&spent, 0, sizeof spent);
    memset(&to, 0, sizeof to);
    to.floats = out;
    return decode_stream(&record, &to, workspace_, &spent);
}

bpz_status bpz_decode_csr(const bpz_file *file, const bpz_tensor *tensor, uint32_t *row_pointer, uint32_t *columns,
                          float *values, size_t entries, void *workspace_, size_t workspace_size) {
    bpz_record record;
    bpz_spent spent;
    bpz_sink to;
    bpz_status status = prepare(file, tensor, &record);
    if (status != BPZ_OK) return status;
    if (row_pointer == NULL || columns == NULL || values == NULL) return BPZ_ERROR_ARGUMENT;
    if (record.map.kind == BPZ_KIND_RAW) return BPZ_ERROR_UNSUPPORTED;
    if (workspace_ == NULL || (uintptr_t)workspace_ % sizeof(uint64_t) != 0) return BPZ_ERROR_ARGUMENT;
    if (entries < record.tensor.nonzero || workspace_size < sizeof(workspace)) return BPZ_ERROR_BUFFER_TOO_SMALL;
    memset(row_pointer, 0, (size_t)(record.tensor.rows + 1u) * sizeof *row_pointer);
    if (record.tensor.nonzero == 0) return BPZ_OK;
    memset(&spent, 0, sizeof spent);
    memset(&to, 0, sizeof to);
    to.room = record.tensor.nonzero;
    to.row_pointer = row_pointer;
    to.columns = columns;
    to.values = values;
    return decode_stream(&record, &to, workspace_, &spent);
}

bpz_status bpz_value_map_of(const bpz_file *file, const bpz_tensor *tensor, bpz_value_map *map) {
    bpz_record record;
    bpz_status status = map == NULL ? BPZ_ERROR_ARGUMENT : prepare(file, tensor, &record);
    if (status == BPZ_OK) *map = record.map;
    return status;
}

bpz_status bpz_decode_levels(const bpz_file *file, const bpz_tensor *tensor, int32_t *out, size_t out_count,
                             void *workspace_, size_t workspace_size, bpz_spent *spent) {
    bpz_record record;
    bpz_spent unused;
    bpz_sink to;
    bpz_status status = prepare(file, tensor, &record);
    if (status != BPZ_OK) return status;
    if (spent == NULL) spent = &unused;
    memset(spent, 0, sizeof *spent);
    spent->frame = 8u * (uint64_t)record.frame_size;
    spent->name = 8u * (uint64_t)record.name_size;
    spent->shape = 8u * (uint64_t)record.shape_size;
    spent->map = 8u * (uint64_t)record.map_size;
    if (record.map.kind == BPZ_KIND_RAW) {
        spent->values = 8u * (uint64_t)record.payload_size;
        return BPZ_ERROR_UNSUPPORTED;
    }
    status = check_room(&record, out, out_count, workspace_, workspace_size);
    if (status != BPZ_OK) return status;
    memset(out, 0, (size_t)record.tensor.count * sizeof *out);
    if (record.tensor.nonzero == 0) return BPZ_OK;
    memset(&to, 0, sizeof to);
    to.levels = out;
    return decode_stream(&record, &to, workspace_, spent);
}
