/* network_library.c - finds the functions of a bundle's library. */
#include "network_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int network_library_open(network_library *library, const char *path, char *reason, size_t reason_size) {
    int found = 1;
    memset(library, 0, sizeof *library);
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library->handle == NULL) {
        const char *message = dlerror();
        snprintf(reason, reason_size, "%s", message != NULL ? message : "no reason was given");
        return 0;
    }
    /* A function pointer is copied out of dlsym's void *: C has no cast from one to the other. */
#define NETWORK_FIND(name)                                                                                             \
    do {                                                                                                               \
        void *symbol = dlsym(library->handle, #name);                                                                  \
        memcpy(&library->name, &symbol, sizeof symbol);                                                                \
        found = found && symbol != NULL;                                                                               \
    } while (0);
    NETWORK_FUNCTIONS(NETWORK_FIND)
    if (!found) {
        snprintf(reason, reason_size, "it has not the functions of bayespress.h");
        network_library_close(library);
        return 0;
    }
    GPU_FUNCTIONS(NETWORK_FIND)
    library->has_gpu = found;
#undef NETWORK_FIND
    return 1;
}

void network_library_close(network_library *library) {
    if (library->handle != NULL) {
        dlclose(library->handle);
    }
    memset(library, 0, sizeof *library);
}
