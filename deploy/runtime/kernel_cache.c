/* kernel_cache.c - 8 bytes of magic, 8 of the key in this machine's order, the binary. */
#include "kernel_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 16 };

static const char magic[8] = {'B', 'P', 'C', 'L', '0', '0', '0', '1'};

bp_cl bp_cache_read(const bp_opencl *cl, bp_cl context, bp_cl device, uint64_t key, const char *path) {
    unsigned char head[HEAD];
    FILE *file = fopen(path, "rb");
    unsigned char *binary = NULL;
    long size = 0;
    bp_cl found = NULL;
    if (file == NULL) {
        return NULL;
    }
    if (fread(head, 1, sizeof head, file) == sizeof head && memcmp(head, magic, sizeof magic) == 0 &&
        memcmp(head + sizeof magic, &key, sizeof key) == 0 && fseek(file, 0, SEEK_END) == 0 &&
        (size = ftell(file) - HEAD) > 0 && fseek(file, HEAD, SEEK_SET) == 0 &&
        (binary = malloc((size_t)size)) != NULL && fread(binary, 1, (size_t)size, file) == (size_t)size) {
        const unsigned char *binaries[1];
        const size_t sizes[1] = {(size_t)size};
        bp_cl_int status = -1, error = -1;
        bp_cl program;
        binaries[0] = binary;
        program = cl->clCreateProgramWithBinary(context, 1, &device, sizes, binaries, &status, &error);
        if (error == CL_SUCCESS_ && status == CL_SUCCESS_ &&
            cl->clBuildProgram(program, 1, &device, "", NULL, NULL) == CL_SUCCESS_) {
            found = program;
        } else if (error == CL_SUCCESS_) {
            cl->clReleaseProgram(program);
        }
    }
    free(binary);
    fclose(file);
    return found;
}

void bp_cache_write(const bp_opencl *cl, bp_cl program, uint64_t key, const char *path) {
    size_t size = 0;
    unsigned char *binary;
    char *fresh = malloc(strlen(path) + 5);
    FILE *file;
    if (fresh == NULL ||
        cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES_, sizeof size, &size, NULL) != CL_SUCCESS_ ||
        size == 0 || (binary = malloc(size)) == NULL) {
        free(fresh);
        return;
    }
    sprintf(fresh, "%s.new", path);
    if (cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES_, sizeof binary, &binary, NULL) == CL_SUCCESS_ &&
        (file = fopen(fresh, "wb")) != NULL) {
        int whole = fwrite(magic, 1, sizeof magic, file) == sizeof magic &&
                    fwrite(&key, 1, sizeof key, file) == sizeof key &&
                    fwrite(binary, 1, size, file) == size;
        whole = fclose(file) == 0 && whole;
        if (!whole || rename(fresh, path) != 0) {
            remove(fresh);
        }
    }
    free(binary);
    free(fresh);
}
