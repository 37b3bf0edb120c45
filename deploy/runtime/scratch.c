/* scratch.c - what compiled kernels ask of TVM's runtime, which is not linked: scratch memory, and a place to report
 * errors.
 *
 * A kernel asks for memory by a global function, without saying for which network it runs. So the caller of a kernel
 * sets the scratch memory of its thread first (bpi_scratch_use), and `allocate` takes blocks from it one after the
 * other. A block is not given back by itself: all of them end with the call of the kernel, and the next call begins
 * with all of the memory.
 */
#include "scratch.h"

#include <stdint.h>

#include "bayespress.h"

/* Kernels ask without saying for which network, so each thread remembers whose it calls. */
#ifdef BP_THREAD_KEYS /* for Android before API 29, which loads no library with thread-local variables */
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int has_key;

static void make_key(void) { has_key = pthread_key_create(&key, NULL) == 0; }

/* A process has few keys, and may load and unload this library many times: give the key back. */
__attribute__((destructor)) static void delete_key(void) {
    if (has_key) {
        pthread_key_delete(key);
    }
}

void bpi_scratch_use(bpi_scratch *scratch) {
    pthread_once(&once, make_key);
    if (has_key) {
        pthread_setspecific(key, scratch);
    }
}

static bpi_scratch *in_use(void) { return has_key ? pthread_getspecific(key) : NULL; }
#else
static __thread bpi_scratch *current;

void bpi_scratch_use(bpi_scratch *scratch) { current = scratch; }

static bpi_scratch *in_use(void) { return current; }
#endif

/* TVMBackendAllocWorkspace: a block of `size` bytes, aligned to BP_ALIGNMENT. */
static void *allocate(int device, int device_id, uint64_t size, int dtype_code, int dtype_bits) {
    bpi_scratch *scratch = in_use();
    const uint64_t rounded = (size + BP_ALIGNMENT - 1) / BP_ALIGNMENT * BP_ALIGNMENT;
    unsigned char *block;
    (void)device, (void)device_id, (void)dtype_code, (void)dtype_bits;
    if (scratch == NULL || rounded < size || rounded > scratch->left) {
        return NULL; /* the kernel then returns an error */
    }
    block = scratch->next;
    scratch->next += rounded;
    scratch->left -= (size_t)rounded;
    return block;
}

/* TVMBackendFreeWorkspace: nothing to do, since blocks end with the kernel. */
static int release(int device, int device_id, void *block) {
    (void)device, (void)device_id, (void)block;
    return 0;
}

/* The compiled object defines these pointers weakly; the definitions here take precedence. */
extern void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int);
extern int (*__TVMBackendFreeWorkspace)(int, int, void *);
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count);

void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = allocate;
int (*__TVMBackendFreeWorkspace)(int, int, void *) = release;

/* A kernel reports failure by its result too. The message is for TVM's own runtime, and is dropped here. */
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
    (void)kind, (void)parts, (void)count;
}
