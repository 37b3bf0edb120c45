/* opencl.h - private: the part of OpenCL 1.2 that the runtime calls, found in the library of the system at run time.
 *
 * Linking with OpenCL would need its headers at build time and its library on every device, also where the network runs
 * on the processor. So the declarations are repeated here, under names of our own, and the functions are looked up by
 * name. The list BP_OPENCL_FUNCTIONS is written once: it makes the structure of pointers, and the loop that fills it.
 */
#ifndef BAYESPRESS_OPENCL_H
#define BAYESPRESS_OPENCL_H

#include <stddef.h>
#include <stdint.h>

typedef void *bpi_cl; /* any of OpenCL's handles */
typedef int32_t bpi_cl_int;
typedef uint32_t bpi_cl_uint;
typedef uint64_t bpi_cl_bits;

enum {
    CL_SUCCESS_ = 0,
    CL_TRUE_ = 1,
    CL_FALSE_ = 0,
    CL_DEVICE_NAME_ = 0x102B,
    CL_DRIVER_VERSION_ = 0x102D,
    CL_DEVICE_EXTENSIONS_ = 0x1030,
    CL_PROGRAM_BINARY_SIZES_ = 0x1165,
    CL_PROGRAM_BINARIES_ = 0x1166,
    CL_BUFFER_CREATE_TYPE_REGION_ = 0x1220,
    CL_PROFILING_COMMAND_START_ = 0x1282,
    CL_PROFILING_COMMAND_END_ = 0x1283
};
#define CL_DEVICE_TYPE_GPU_        ((bpi_cl_bits)1 << 2)
#define CL_DEVICE_TYPE_ALL_        ((bpi_cl_bits)0xFFFFFFFF)
#define CL_MEM_READ_WRITE_         ((bpi_cl_bits)1)
#define CL_QUEUE_PROFILING_ENABLE_ ((bpi_cl_bits)2)

typedef struct bpi_cl_region {
    size_t origin, size;
} bpi_cl_region;

/* name, result, arguments */
#define BP_OPENCL_FUNCTIONS(F)                                                                                         \
    F(clGetPlatformIDs, bpi_cl_int, (bpi_cl_uint, bpi_cl *, bpi_cl_uint *))                                            \
    F(clGetDeviceIDs, bpi_cl_int, (bpi_cl, bpi_cl_bits, bpi_cl_uint, bpi_cl *, bpi_cl_uint *))                         \
    F(clGetDeviceInfo, bpi_cl_int, (bpi_cl, bpi_cl_uint, size_t, void *, size_t *))                                    \
    F(clCreateContext, bpi_cl, (const intptr_t *, bpi_cl_uint, const bpi_cl *, void *, void *, bpi_cl_int *))          \
    F(clReleaseContext, bpi_cl_int, (bpi_cl))                                                                          \
    F(clCreateCommandQueue, bpi_cl, (bpi_cl, bpi_cl, bpi_cl_bits, bpi_cl_int *))                                       \
    F(clReleaseCommandQueue, bpi_cl_int, (bpi_cl))                                                                     \
    F(clCreateProgramWithSource, bpi_cl, (bpi_cl, bpi_cl_uint, const char **, const size_t *, bpi_cl_int *))           \
    F(clCreateProgramWithBinary, bpi_cl,                                                                               \
      (bpi_cl, bpi_cl_uint, const bpi_cl *, const size_t *, const unsigned char **, bpi_cl_int *, bpi_cl_int *))       \
    F(clBuildProgram, bpi_cl_int, (bpi_cl, bpi_cl_uint, const bpi_cl *, const char *, void *, void *))                 \
    F(clGetProgramInfo, bpi_cl_int, (bpi_cl, bpi_cl_uint, size_t, void *, size_t *))                                   \
    F(clReleaseProgram, bpi_cl_int, (bpi_cl))                                                                          \
    F(clCreateKernel, bpi_cl, (bpi_cl, const char *, bpi_cl_int *))                                                    \
    F(clReleaseKernel, bpi_cl_int, (bpi_cl))                                                                           \
    F(clSetKernelArg, bpi_cl_int, (bpi_cl, bpi_cl_uint, size_t, const void *))                                         \
    F(clCreateBuffer, bpi_cl, (bpi_cl, bpi_cl_bits, size_t, void *, bpi_cl_int *))                                     \
    F(clCreateSubBuffer, bpi_cl, (bpi_cl, bpi_cl_bits, bpi_cl_uint, const void *, bpi_cl_int *))                       \
    F(clReleaseMemObject, bpi_cl_int, (bpi_cl))                                                                        \
    F(clEnqueueWriteBuffer, bpi_cl_int,                                                                                \
      (bpi_cl, bpi_cl, bpi_cl_uint, size_t, size_t, const void *, bpi_cl_uint, const bpi_cl *, bpi_cl *))              \
    F(clEnqueueReadBuffer, bpi_cl_int,                                                                                 \
      (bpi_cl, bpi_cl, bpi_cl_uint, size_t, size_t, void *, bpi_cl_uint, const bpi_cl *, bpi_cl *))                    \
    F(clEnqueueNDRangeKernel, bpi_cl_int,                                                                              \
      (bpi_cl, bpi_cl, bpi_cl_uint, const size_t *, const size_t *, const size_t *, bpi_cl_uint, const bpi_cl *,       \
       bpi_cl *))                                                                                                      \
    F(clFinish, bpi_cl_int, (bpi_cl))                                                                                  \
    F(clGetEventProfilingInfo, bpi_cl_int, (bpi_cl, bpi_cl_uint, size_t, void *, size_t *))                            \
    F(clReleaseEvent, bpi_cl_int, (bpi_cl))

typedef struct bpi_opencl {
#define BP_MEMBER(name, result, arguments) result(*name) arguments;
    BP_OPENCL_FUNCTIONS(BP_MEMBER)
#undef BP_MEMBER
} bpi_opencl;

/* Fill `cl` from the system's library; 0 where there is none, or one without all of this. */
int bpi_opencl_find(bpi_opencl *cl);

#endif /* BAYESPRESS_OPENCL_H */
