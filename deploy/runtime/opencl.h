/* opencl.h - the part of OpenCL 1.2 that we call, found in the system's library at run time. */
#ifndef BAYESPRESS_OPENCL_H
#define BAYESPRESS_OPENCL_H

#include <stddef.h>
#include <stdint.h>

typedef void *bp_cl;      /* any of OpenCL's handles */
typedef int32_t bp_cl_int;
typedef uint32_t bp_cl_uint;
typedef uint64_t bp_cl_bits;

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
#define CL_DEVICE_TYPE_GPU_ ((bp_cl_bits)1 << 2)
#define CL_DEVICE_TYPE_ALL_ ((bp_cl_bits)0xFFFFFFFF)
#define CL_MEM_READ_WRITE_ ((bp_cl_bits)1)
#define CL_QUEUE_PROFILING_ENABLE_ ((bp_cl_bits)2)

typedef struct bp_cl_region {
    size_t origin, size;
} bp_cl_region;

/* name, result, arguments */
#define BP_OPENCL_FUNCTIONS(F)                                                                                         \
    F(clGetPlatformIDs, bp_cl_int, (bp_cl_uint, bp_cl *, bp_cl_uint *))                                                \
    F(clGetDeviceIDs, bp_cl_int, (bp_cl, bp_cl_bits, bp_cl_uint, bp_cl *, bp_cl_uint *))                               \
    F(clGetDeviceInfo, bp_cl_int, (bp_cl, bp_cl_uint, size_t, void *, size_t *))                                       \
    F(clCreateContext, bp_cl, (const intptr_t *, bp_cl_uint, const bp_cl *, void *, void *, bp_cl_int *))              \
    F(clReleaseContext, bp_cl_int, (bp_cl))                                                                            \
    F(clCreateCommandQueue, bp_cl, (bp_cl, bp_cl, bp_cl_bits, bp_cl_int *))                                            \
    F(clReleaseCommandQueue, bp_cl_int, (bp_cl))                                                                       \
    F(clCreateProgramWithSource, bp_cl, (bp_cl, bp_cl_uint, const char **, const size_t *, bp_cl_int *))               \
    F(clCreateProgramWithBinary, bp_cl,                                                                                \
      (bp_cl, bp_cl_uint, const bp_cl *, const size_t *, const unsigned char **, bp_cl_int *, bp_cl_int *))            \
    F(clBuildProgram, bp_cl_int, (bp_cl, bp_cl_uint, const bp_cl *, const char *, void *, void *))                     \
    F(clGetProgramInfo, bp_cl_int, (bp_cl, bp_cl_uint, size_t, void *, size_t *))                                      \
    F(clReleaseProgram, bp_cl_int, (bp_cl))                                                                            \
    F(clCreateKernel, bp_cl, (bp_cl, const char *, bp_cl_int *))                                                       \
    F(clReleaseKernel, bp_cl_int, (bp_cl))                                                                             \
    F(clSetKernelArg, bp_cl_int, (bp_cl, bp_cl_uint, size_t, const void *))                                            \
    F(clCreateBuffer, bp_cl, (bp_cl, bp_cl_bits, size_t, void *, bp_cl_int *))                                         \
    F(clCreateSubBuffer, bp_cl, (bp_cl, bp_cl_bits, bp_cl_uint, const void *, bp_cl_int *))                            \
    F(clReleaseMemObject, bp_cl_int, (bp_cl))                                                                          \
    F(clEnqueueWriteBuffer, bp_cl_int,                                                                                 \
      (bp_cl, bp_cl, bp_cl_uint, size_t, size_t, const void *, bp_cl_uint, const bp_cl *, bp_cl *))                    \
    F(clEnqueueReadBuffer, bp_cl_int,                                                                                  \
      (bp_cl, bp_cl, bp_cl_uint, size_t, size_t, void *, bp_cl_uint, const bp_cl *, bp_cl *))                          \
    F(clEnqueueNDRangeKernel, bp_cl_int,                                                                               \
      (bp_cl, bp_cl, bp_cl_uint, const size_t *, const size_t *, const size_t *, bp_cl_uint, const bp_cl *, bp_cl *))  \
    F(clFinish, bp_cl_int, (bp_cl))                                                                                    \
    F(clGetEventProfilingInfo, bp_cl_int, (bp_cl, bp_cl_uint, size_t, void *, size_t *))                               \
    F(clReleaseEvent, bp_cl_int, (bp_cl))

typedef struct bp_opencl {
#define BP_MEMBER(name, result, arguments) result(*name) arguments;
    BP_OPENCL_FUNCTIONS(BP_MEMBER)
#undef BP_MEMBER
} bp_opencl;

/* Fill `cl` from the system's library; 0 where there is none, or one without all of this. */
int bp_opencl_find(bp_opencl *cl);

#endif /* BAYESPRESS_OPENCL_H */
