/* network_library.c - loads a bundle's library and looks up its functions. */
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
        snprintf(reason, reason_size, "%s", message != NULL ? message : "unknown reason");
        return 0;
    }
    /* memcpy converts dlsym's void * to a function pointer, because ISO C has no such cast. */
#define NETWORK_FIND(name)                                                                                             \
    do {                                                                                                               \
        void *symbol = dlsym(library->handle, #name);                                                                  \
        memcpy(&library->name, &symbol, sizeof symbol);                                                                \
        found = found && symbol != NULL;                                                                               \
    } while (0);
    NETWORK_FUNCTIONS(NETWORK_FIND)
    if (!found) {
        snprintf(reason, reason_size, "it lacks functions of bayespress.h");
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
