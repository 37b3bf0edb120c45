/* buffers.h - buffers of exactly the size that is asked for. Under a sanitizer, or with GUARDED, the first access after
 * their end is a fault.
 */
#ifndef BUFFERS_H
#define BUFFERS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef GUARDED
#include <sys/mman.h>

/* A buffer that ends at an unmapped page: the fault needs no sanitizer, and so works on every machine. */
#define GUARD ((size_t)65536) /* at least a page of any machine */

static void *exact_buffer(size_t size) {
    const size_t whole = (size + GUARD - 1u) / GUARD * GUARD;
    uint8_t *const pages = mmap(NULL, whole + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + whole, GUARD, PROT_NONE) != 0) exit(2);
    return pages + whole - size;
}

static void release_buffer(void *buffer, size_t size) {
    const size_t whole = (size + GUARD - 1u) / GUARD * GUARD;
    if (munmap((uint8_t *)buffer + size - whole, whole + GUARD) != 0) exit(2);
}
#else
static void *exact_buffer(size_t size) {
    void *buffer = malloc(size != 0 ? size : 1);
    if (buffer == NULL) {
        fprintf(stderr, "no memory for %zu bytes\n", size);
        exit(2);
    }
    return buffer;
}

static void release_buffer(void *buffer, size_t size) {
    (void)size;
    free(buffer);
}
#endif

#endif /* BUFFERS_H */
