/* rooms.h - buffers of exactly their size: under a sanitizer, or with GUARDED, the first byte too far is a fault. */
#ifndef ROOMS_H
#define ROOMS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef GUARDED
#include <sys/mman.h>

/* Bytes behind which memory is not mapped: without a sanitizer, and on other machines, a byte too far is a fault. */
#define GUARD ((size_t)65536) /* a page at least, on any machine */

static void *exactly(size_t size) {
    const size_t whole = (size + GUARD - 1u) / GUARD * GUARD;
    uint8_t *const pages = mmap(NULL, whole + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + whole, GUARD, PROT_NONE) != 0) exit(2);
    return pages + whole - size;
}

static void release(void *room, size_t size) {
    const size_t whole = (size + GUARD - 1u) / GUARD * GUARD;
    if (munmap((uint8_t *)room + size - whole, whole + GUARD) != 0) exit(2);
}
#else
static void *exactly(size_t size) {
    void *room = malloc(size != 0 ? size : 1);
    if (room == NULL) {
        fprintf(stderr, "no memory for %zu bytes\n", size);
        exit(2);
    }
    return room;
}

static void release(void *room, size_t size) {
    (void)size;
    free(room);
}
#endif

#endif /* ROOMS_H */
