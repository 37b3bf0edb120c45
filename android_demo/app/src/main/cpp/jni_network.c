/* jni_network.c - native methods of a loaded network, on the processor and on the GPU. A handle is a pointer to a `loaded`.
 * Kotlin's class Network never uses a handle after it was closed, or in two threads at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpz.h"
#include "jni_support.h"
#include "network_library.h"

typedef struct loaded {
    network_library library;
    void *workspace;
    bp_network networks[BP_MAX_THREADS]; /* the first network and its forks */
    size_t count;
    bp_gpu *gpu;
} loaded;

static loaded *of(jlong handle) { return (loaded *)(intptr_t)handle; }

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *aligned_memory(size_t size) {
    void *memory = NULL;
    return size < SIZE_MAX && posix_memalign(&memory, BP_ALIGNMENT, size + 1) == 0 ? memory : NULL;
}

static void release(loaded *it) {
    size_t i;
    if (it->gpu != NULL) {
        it->library.bp_gpu_close(it->gpu);
    }
    for (i = 1; i < it->count; i++) {
        free(it->networks[i].arena);
    }
    free(it->workspace);
    network_library_close(&it->library);
    free(it);
}

/* Returns 1 if `status` is BP_OK, or 0 with a pending exception. */
static int check_status(JNIEnv *env, const loaded *it, bp_status status) {
    if (status == BP_ERROR_WEIGHTS) {
        throw_bundle_exception(env, "The weights cannot be read: %s; fetch the bundle again.",
                               bpz_status_text((bpz_status)it->networks[0].weights_status));
    } else if (status != BP_OK) {
        throw_bundle_exception(env, "The network failed: %s; open its bundle again.",
                               it->library.bp_status_text(status));
    }
    return status == BP_OK;
}

NATIVE(jlong, open, jstring path, jbyteArray bpz) {
    char reason[400];
    size_t size = 0, needed;
    void *weights = NULL;
    const char *chars = NULL;
    loaded *it = calloc(1, sizeof *it);
    (void)self;
    if (it == NULL || (chars = (*env)->GetStringUTFChars(env, path, NULL)) == NULL) {
        free(it);
        throw_bundle_exception(env, "There is not enough memory for a network; close other apps.");
        return 0;
    }
    if (!network_library_open(&it->library, chars, reason, sizeof reason)) {
        throw_bundle_exception(env, "The bundle's library cannot be loaded (%s); build it for this device.", reason);
    } else if ((weights = copy_of(env, bpz, &size)) != NULL) {
        needed = it->library.bp_workspace_size();
        it->workspace = aligned_memory(needed);
        if (it->workspace == NULL) {
            throw_bundle_exception(env, "There is not enough memory for the network's %zu bytes; close other apps.",
                                   needed);
        } else {
            check_status(env, it, it->library.bp_load(&it->networks[0], weights, size, it->workspace, needed));
            it->count = 1;
        }
    }
    (*env)->ReleaseStringUTFChars(env, path, chars);
    free(weights);
    if ((*env)->ExceptionCheck(env)) {
        release(it);
        return 0;
    }
    return (jlong)(intptr_t)it;
}

NATIVE(void, close, jlong handle) {
    (void)env, (void)self;
    release(of(handle));
}

/* Number of floats of an input and of an output, and size of the workspace in bytes. */
NATIVE(jlongArray, sizes, jlong handle) {
    const loaded *it = of(handle);
    jlong numbers[3];
    jlongArray sizes = (*env)->NewLongArray(env, 3);
    (void)self;
    numbers[0] = (jlong)it->library.bp_input_size();
    numbers[1] = (jlong)it->library.bp_output_size();
    numbers[2] = (jlong)it->library.bp_workspace_size();
    if (sizes != NULL) {
        (*env)->SetLongArrayRegion(env, sizes, 0, 3, numbers);
    }
    return sizes;
}

NATIVE(jobjectArray, kernelNames, jlong handle, jboolean gpu) {
    const loaded *it = of(handle);
    const size_t count = !gpu              ? it->library.bp_kernel_count()
                         : it->gpu != NULL ? it->library.bp_gpu_kernel_count(it->gpu)
                                           : 0;
    jobjectArray names = strings_of(env, count);
    size_t i;
    (void)self;
    for (i = 0; names != NULL && i < count; i++) {
        jstring name = string_of(env, gpu ? it->library.bp_gpu_kernel_name(it->gpu, i) : it->library.bp_kernel_name(i));
        if (name == NULL) {
            break;
        }
        (*env)->SetObjectArrayElement(env, names, (jsize)i, name);
        (*env)->DeleteLocalRef(env, name);
    }
    return names;
}

/* Runs once and returns the time in nanoseconds. `kernels` receives the nanoseconds of each kernel, or is null. Kotlin has
 * checked the lengths of the arrays with its own messages; they are checked again here, because a wrong length would cause
 * writes outside an array. */
NATIVE(jlong, run, jlong handle, jboolean gpu, jfloatArray input, jfloatArray output, jlongArray kernels) {
    const loaded *it = of(handle);
    jfloat *from, *to = NULL;
    jlong *times = NULL;
    uint64_t taken = 0;
    (void)self;
    if (!has_length(env, input, it->library.bp_input_size()) ||
        !has_length(env, output, it->library.bp_output_size()) || (gpu && it->gpu == NULL) ||
        (kernels != NULL &&
         !has_length(env, kernels, gpu ? it->library.bp_gpu_kernel_count(it->gpu) : it->library.bp_kernel_count()))) {
        throw_bundle_exception(env, "An array is too short for the network; open its bundle again.");
        return 0;
    }
    from = (*env)->GetFloatArrayElements(env, input, NULL);
    if (from != NULL && (to = (*env)->GetFloatArrayElements(env, output, NULL)) != NULL &&
        (kernels == NULL || (times = (*env)->GetLongArrayElements(env, kernels, NULL)) != NULL)) {
        const uint64_t before = now_ns();
        bp_status status;
        if (gpu) {
            status = it->library.bp_gpu_run_timed(it->gpu, from, to, (uint64_t *)times);
        } else if (times != NULL) {
            status = it->library.bp_run_timed(&it->networks[0], from, to, now_ns, (uint64_t *)times);
        } else {
            status = it->library.bp_run(&it->networks[0], from, to);
        }
        taken = now_ns() - before;
        check_status(env, it, status);
    }
    if (times != NULL) {
        (*env)->ReleaseLongArrayElements(env, kernels, times, 0);
    }
    if (to != NULL) {
        (*env)->ReleaseFloatArrayElements(env, output, to, 0);
    }
    if (from != NULL) {
        (*env)->ReleaseFloatArrayElements(env, input, from, JNI_ABORT);
    }
    return (jlong)taken;
}

/* Creates forks for `threads` threads. Returns 1, or 0 without enough memory. */
static int prepare(loaded *it, size_t threads) {
    while (it->count < threads) {
        const size_t size = it->library.bp_arena_size();
        void *arena = aligned_memory(size);
        if (arena == NULL || it->library.bp_fork(&it->networks[it->count], &it->networks[0], arena, size) != BP_OK) {
            free(arena);
            return 0;
        }
        it->count++;
    }
    return 1;
}

/* Runs all `inputs` on several threads and returns the time in nanoseconds. */
NATIVE(jlong, runBatch, jlong handle, jint threads, jfloatArray inputs, jint count, jfloatArray outputs) {
    loaded *it = of(handle);
    jfloat *from, *to = NULL;
    uint64_t taken = 0;
    (void)self;
    /* In 64 bits, because jint times size_t may overflow 32 bits. */
    if (count < 0 || !has_length(env, inputs, (uint64_t)count * it->library.bp_input_size()) ||
        !has_length(env, outputs, (uint64_t)count * it->library.bp_output_size())) {
        throw_bundle_exception(env, "An array is too short for %d examples; open the bundle again.", (int)count);
        return 0;
    }
    if (threads < 1 || threads > BP_MAX_THREADS || !prepare(it, (size_t)threads)) {
        throw_bundle_exception(env, "%d threads are not available; choose 1 to %d.", (int)threads, BP_MAX_THREADS);
        return 0;
    }
    from = (*env)->GetFloatArrayElements(env, inputs, NULL);
    if (from != NULL && (to = (*env)->GetFloatArrayElements(env, outputs, NULL)) != NULL) {
        const uint64_t before = now_ns();
        const bp_status status = it->library.bp_run_batch(it->networks, (size_t)threads, from, (size_t)count, to);
        taken = now_ns() - before;
        check_status(env, it, status);
        (*env)->ReleaseFloatArrayElements(env, outputs, to, 0);
    }
    if (from != NULL) {
        (*env)->ReleaseFloatArrayElements(env, inputs, from, JNI_ABORT);
    }
    return (jlong)taken;
}

/* Opens the GPU; the file `cache` stores its compiled kernels. Returns null, or the reason why no GPU can be used. */
NATIVE(jstring, openGpu, jlong handle, jbyteArray bpz, jstring cache) {
    loaded *it = of(handle);
    char reason[200] = "the bundle was built without OpenCL";
    const char *path;
    size_t size = 0;
    void *weights;
    (void)self;
    if (it->gpu != NULL) {
        return NULL;
    }
    if (!it->library.has_gpu) {
        return string_of(env, reason);
    }
    path = (*env)->GetStringUTFChars(env, cache, NULL);
    weights = path != NULL ? copy_of(env, bpz, &size) : NULL;
    if (weights != NULL) {
        it->gpu = it->library.bp_gpu_open(path, reason, sizeof reason);
        if (it->gpu != NULL) {
            const bp_status status = it->library.bp_gpu_load(it->gpu, weights, size);
            if (status != BP_OK) {
                it->library.bp_gpu_close(it->gpu);
                it->gpu = NULL;
                snprintf(reason, sizeof reason, "%s", it->library.bp_status_text(status));
            }
        }
    }
    free(weights);
    if (path != NULL) {
        (*env)->ReleaseStringUTFChars(env, cache, path);
    }
    return it->gpu != NULL || (*env)->ExceptionCheck(env) ? NULL : string_of(env, reason);
}

/* The name of the GPU and the type of its products; null unless openGpu opened one. */
NATIVE(jobjectArray, gpuNames, jlong handle) {
    const loaded *it = of(handle);
    jobjectArray names;
    jsize i;
    (void)self;
    if (it->gpu == NULL) {
        return NULL;
    }
    names = strings_of(env, 2);
    for (i = 0; names != NULL && i < 2; i++) {
        jstring name =
            string_of(env, i == 0 ? it->library.bp_gpu_name(it->gpu) : it->library.bp_gpu_precision(it->gpu));
        if (name == NULL) {
            return NULL;
        }
        (*env)->SetObjectArrayElement(env, names, i, name);
        (*env)->DeleteLocalRef(env, name);
    }
    return names;
}
