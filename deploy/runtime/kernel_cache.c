/* kernel_cache.c - a compiled OpenCL program in a file: 8 bytes of magic, 8 bytes of the key in the byte order of the
 * machine, and the binary of the driver.
 *
 * A binary is a program, and drivers run what they are given. So a cache is trusted only when nobody else can have
 * written it: it must be a regular file of this user, without write permission for others. It is written under a name
 * that nobody can foresee, readable by this user alone, and then renamed: a reader sees the old file or the new one.
 */
#define _XOPEN_SOURCE 700 /* mkstemp, O_NOFOLLOW */

#include "kernel_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 16, LARGEST_BINARY = 1 << 28 };

static const char magic[8] = {'B', 'P', 'C', 'L', '0', '0', '0', '1'};

/* Open a cache that only this user can have written; `*size` receives the bytes of its binary. NULL when there is none.
 * The checks are of the opened file, and no link is followed, so that it cannot be exchanged in between. */
static FILE *open_own(const char *path, size_t *size) {
    struct stat status;
    FILE *file = NULL;
    const int handle = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (handle < 0) {
        return NULL;
    }
    if (fstat(handle, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
        (status.st_mode & (S_IWGRP | S_IWOTH)) == 0 && status.st_size > HEAD && status.st_size <= LARGEST_BINARY) {
        *size = (size_t)status.st_size - HEAD;
        file = fdopen(handle, "rb");
    }
    if (file == NULL) {
        close(handle);
    }
    return file;
}

bpi_cl bpi_cache_read(const bpi_opencl *cl, bpi_cl context, bpi_cl device, uint64_t key, const char *path) {
    unsigned char head[HEAD];
    size_t size = 0;
    FILE *file = open_own(path, &size);
    unsigned char *binary = NULL;
    bpi_cl found = NULL;
    if (file == NULL) {
        return NULL;
    }
    if (fread(head, 1, sizeof head, file) == sizeof head && memcmp(head, magic, sizeof magic) == 0 &&
        memcmp(head + sizeof magic, &key, sizeof key) == 0 && (binary = malloc(size)) != NULL &&
        fread(binary, 1, size, file) == size) {
        const unsigned char *binaries[1];
        const size_t sizes[1] = {size};
        bpi_cl_int status = -1, error = -1;
        bpi_cl program;
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

void bpi_cache_write(const bpi_opencl *cl, bpi_cl program, uint64_t key, const char *path) {
    static const char ending[] = ".XXXXXX";
    size_t size = 0;
    unsigned char *binary = NULL;
    char *fresh = malloc(strlen(path) + sizeof ending);
    int handle = -1;
    if (fresh != NULL &&
        cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES_, sizeof size, &size, NULL) == CL_SUCCESS_ && size > 0 &&
        size <= LARGEST_BINARY - HEAD && (binary = malloc(size)) != NULL &&
        cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES_, sizeof binary, &binary, NULL) == CL_SUCCESS_) {
        memcpy(fresh, path, strlen(path));
        memcpy(fresh + strlen(path), ending, sizeof ending);
        handle = mkstemp(fresh);
    }
    if (handle >= 0) {
        FILE *file = fdopen(handle, "wb");
        int whole = file != NULL && fwrite(magic, 1, sizeof magic, file) == sizeof magic &&
                    fwrite(&key, 1, sizeof key, file) == sizeof key && fwrite(binary, 1, size, file) == size;
        whole = (file != NULL ? fclose(file) : close(handle)) == 0 && whole;
        if (!whole || rename(fresh, path) != 0) {
            remove(fresh);
        }
    }
    free(binary);
    free(fresh);
}
