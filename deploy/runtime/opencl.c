/* opencl.c - finds the OpenCL library of the system. */
#include "opencl.h"

#include <dlfcn.h>
#include <string.h>

/* Where it lies: on Linux; with the Adreno, Mali and Pixel drivers of Android; and within the OpenGL ES library of some
 * drivers. */
static const char *const libraries[] = {
    "libOpenCL.so.1",
    "libOpenCL.so",
    "libOpenCL-pixel.so",
    "/vendor/lib64/libOpenCL.so",
    "/system/vendor/lib64/libOpenCL.so",
    "/vendor/lib/libOpenCL.so",
    "/vendor/lib64/egl/libGLES_mali.so",
    "/vendor/lib/egl/libGLES_mali.so",
};

/* Look up all functions; 0 when one is missing. */
static int load(bpi_opencl *cl, void *library) {
    /* A function pointer is copied out of dlsym's void *: C has no cast from one to the other. */
#define BP_FIND(name, result, arguments)                                                                               \
    do {                                                                                                               \
        void *symbol = dlsym(library, #name);                                                                          \
        if (symbol == NULL) {                                                                                          \
            return 0;                                                                                                  \
        }                                                                                                              \
        memcpy(&cl->name, &symbol, sizeof symbol);                                                                     \
    } while (0);
    BP_OPENCL_FUNCTIONS(BP_FIND)
#undef BP_FIND
    return 1;
}

int bpi_opencl_find(bpi_opencl *cl) {
    size_t i;
    for (i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        void *library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
        if (library != NULL && load(cl, library)) {
            return 1; /* not closed again: some drivers crash when they are */
        }
    }
    return 0;
}
