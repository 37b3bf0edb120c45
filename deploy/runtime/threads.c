/* threads.c - many inputs over several threads: the one part of the library that needs pthreads. A program that does
 * not call bp_run_batch does not link it.
 *
 * Threads take inputs in chunks from a common counter. So a fast core takes more of them than a slow one, as on phones,
 * whose cores differ; and a thread that is started late, or not at all, costs nothing but its share.
 */
#include <pthread.h>

#include "bayespress.h"

enum {
    CHUNK = 4
}; /* inputs that a thread takes at a time: enough that the counter costs nothing, few enough for fairness */

/* What all threads of a call share. */
typedef struct batch {
    const float *inputs;
    float *outputs;
    size_t count;
    size_t next;      /* the first input that no thread has taken; changed atomically */
    bp_status status; /* of a failure, or BP_OK; written atomically */
} batch;

typedef struct worker {
    batch *work;
    const bp_network *network;
} worker;

/* Take chunks until there are none, or an input fails. */
static void *run_chunks(void *argument) {
    const worker *self = argument;
    batch *work = self->work;
    for (;;) {
        const size_t first = __atomic_fetch_add(&work->next, CHUNK, __ATOMIC_RELAXED);
        const size_t end = first < work->count && work->count - first > CHUNK ? first + CHUNK : work->count;
        size_t i;
        if (first >= work->count) {
            return NULL;
        }
        for (i = first; i < end; i++) {
            const bp_status status =
                bp_run(self->network, work->inputs + i * bp_input_size(), work->outputs + i * bp_output_size());
            if (status != BP_OK) {
                __atomic_store_n(&work->status, status, __ATOMIC_RELAXED);
                return NULL;
            }
        }
    }
}

bp_status bp_run_batch(const bp_network *networks, size_t threads, const float *inputs, size_t count, float *outputs) {
    pthread_t started[BP_MAX_THREADS];
    worker workers[BP_MAX_THREADS];
    batch work = {inputs, outputs, count, 0, BP_OK};
    size_t i, running = 0;
    /* With a larger count the arrays could not lie in memory, and the counter could wrap around. */
    if (networks == NULL || inputs == NULL || outputs == NULL || threads == 0 || threads > BP_MAX_THREADS ||
        count > SIZE_MAX / sizeof(float) - BP_MAX_THREADS * CHUNK) {
        return BP_ERROR_ARGUMENT;
    }
    for (i = 0; i < threads; i++) {
        workers[i].work = &work;
        workers[i].network = &networks[i];
    }
    /* The calling thread is the first. When no further one can be started, those that run do all the work. */
    while (running + 1 < threads && running + 1 < count &&
           pthread_create(&started[running], NULL, run_chunks, &workers[running + 1]) == 0) {
        running++;
    }
    run_chunks(&workers[0]);
    for (i = 0; i < running; i++) {
        pthread_join(started[i], NULL);
    }
    return work.status;
}
