/* jni_codec.c - native methods that read the tensors of a .bpz without a network. */
#include <stdlib.h>
#include <string.h>

#include "bpz.h"
#include "bpz_levels.h"
#include "jni_support.h"

/* Numbers for each tensor, in the order of Kotlin's TensorFacts: elements, stored elements, rows, bits of each kind. */
enum { FACTS = 13 };

/* Limit for the elements of a decoded tensor: 256 MB of float32. Larger tensors do not fit into a phone's memory; on 32-bit
 * systems their size in bytes and their number of elements as a jsize would overflow. */
#define MOST_ELEMENTS ((uint64_t)1 << 26)

/* An opened file: a copy of its bytes and a workspace. */
typedef struct opened {
    bpz_file file;
    void *data, *workspace;
} opened;

static void close_file(opened *it) {
    free(it->data);
    free(it->workspace);
}

/* Returns 1, or 0 with a pending exception. */
static int open_file(JNIEnv *env, jbyteArray bytes, opened *it) {
    size_t size = 0;
    bpz_status status;
    it->workspace = NULL;
    it->data = copy_of(env, bytes, &size);
    if (it->data == NULL) {
        return 0;
    }
    it->workspace = malloc(bpz_workspace_size());
    if (it->workspace == NULL) {
        throw_bundle_exception(env, "There is not enough memory to decode the weights; close other apps.");
        close_file(it);
        return 0;
    }
    status = bpz_open(&it->file, it->data, size);
    if (status != BPZ_OK) {
        throw_bundle_exception(env, "The weights cannot be read: %s; fetch the bundle again.", bpz_status_text(status));
        close_file(it);
        return 0;
    }
    return 1;
}

NATIVE(jobjectArray, tensorNames, jbyteArray bytes) {
    opened it;
    bpz_tensor tensor;
    bpz_status status;
    jobjectArray names;
    jclass bytes_class;
    jsize index = 0;
    (void)self;
    if (!open_file(env, bytes, &it)) {
        return NULL;
    }
    bytes_class = (*env)->FindClass(env, "[B");
    names = bytes_class == NULL ? NULL : (*env)->NewObjectArray(env, (jsize)it.file.tensor_count, bytes_class, NULL);
    for (status = bpz_tensor_at(&it.file, 0, &tensor); names != NULL && status == BPZ_OK;
         status = bpz_next(&it.file, &tensor)) {
        /* As bytes, because JNI's strings use a modified UTF-8. */
        jbyteArray name = (*env)->NewByteArray(env, (jsize)tensor.name_length);
        if (name == NULL) {
            break;
        }
        (*env)->SetByteArrayRegion(env, name, 0, (jsize)tensor.name_length, (const jbyte *)tensor.name);
        (*env)->SetObjectArrayElement(env, names, index++, name);
        (*env)->DeleteLocalRef(env, name);
    }
    close_file(&it);
    return names;
}

static bpz_status facts_of(const opened *it, const bpz_tensor *tensor, jlong *facts) {
    const size_t count = tensor->count <= MOST_ELEMENTS ? (size_t)tensor->count : 0;
    bpz_bit_usage usage;
    int32_t *levels = tensor->count <= MOST_ELEMENTS ? malloc((count + 1) * sizeof *levels) : NULL;
    bpz_status status;
    memset(&usage, 0, sizeof usage);
    if (levels == NULL) {
        return BPZ_ERROR_BUFFER_TOO_SMALL;
    }
    status = bpz_decode_with_usage(&it->file, tensor, levels, count, it->workspace, bpz_workspace_size(), &usage);
    free(levels);
    if (status != BPZ_OK &&
        status != BPZ_ERROR_UNSUPPORTED) { /* a raw tensor has no levels, but its bit usage is valid */
        return status;
    }
    facts[0] = (jlong)tensor->count;
    facts[1] = (jlong)tensor->nonzero;
    facts[2] = (jlong)tensor->rows;
    facts[3] = (jlong)usage.frame;
    facts[4] = (jlong)usage.name;
    facts[5] = (jlong)usage.shape;
    facts[6] = (jlong)usage.map;
    facts[7] = (jlong)usage.masks;
    facts[8] = (jlong)usage.tables;
    facts[9] = (jlong)usage.rows;
    facts[10] = (jlong)usage.indices;
    facts[11] = (jlong)usage.values;
    facts[12] = (jlong)usage.padding;
    return BPZ_OK;
}

NATIVE(jlongArray, tensorFacts, jbyteArray bytes) {
    opened it;
    bpz_tensor tensor;
    bpz_status status, failed = BPZ_OK;
    jlongArray all;
    jsize index = 0;
    (void)self;
    if (!open_file(env, bytes, &it)) {
        return NULL;
    }
    all = (*env)->NewLongArray(env, (jsize)it.file.tensor_count * FACTS);
    for (status = bpz_tensor_at(&it.file, 0, &tensor); all != NULL && status == BPZ_OK && failed == BPZ_OK;
         status = bpz_next(&it.file, &tensor)) {
        jlong facts[FACTS];
        failed = facts_of(&it, &tensor, facts);
        if (failed == BPZ_OK) {
            (*env)->SetLongArrayRegion(env, all, index, FACTS, facts);
            index += FACTS;
        }
    }
    if (failed != BPZ_OK) {
        throw_bundle_exception(env, "Tensor %s cannot be decoded: %s; fetch the bundle again.", tensor.name,
                               bpz_status_text(failed));
    }
    close_file(&it);
    return failed == BPZ_OK ? all : NULL;
}

NATIVE(jfloatArray, decode, jbyteArray bytes, jint index) {
    opened it;
    bpz_tensor tensor;
    bpz_status status;
    jfloatArray values = NULL;
    (void)self;
    if (!open_file(env, bytes, &it)) {
        return NULL;
    }
    status = index < 0 ? BPZ_ERROR_ARGUMENT : bpz_tensor_at(&it.file, (uint32_t)index, &tensor);
    if (status == BPZ_OK && tensor.count > MOST_ELEMENTS) {
        status = BPZ_ERROR_BUFFER_TOO_SMALL;
    }
    if (status == BPZ_OK) {
        const size_t count = (size_t)tensor.count;
        float *decoded = malloc((count + 1) * sizeof *decoded);
        status = decoded == NULL
                     ? BPZ_ERROR_BUFFER_TOO_SMALL
                     : bpz_decode(&it.file, &tensor, BPZ_FLOAT32, decoded, count, it.workspace, bpz_workspace_size());
        if (status == BPZ_OK && (values = (*env)->NewFloatArray(env, (jsize)count)) != NULL) {
            (*env)->SetFloatArrayRegion(env, values, 0, (jsize)count, decoded);
        }
        free(decoded);
    }
    if (status != BPZ_OK) {
        throw_bundle_exception(env, "Tensor number %d cannot be decoded: %s; fetch the bundle again.", (int)index,
                               bpz_status_text(status));
    }
    close_file(&it);
    return values;
}
