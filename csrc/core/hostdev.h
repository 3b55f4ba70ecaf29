// Marks functions that must mean the same on host and device; everything so marked is covered by the CPU tests.
#pragma once

#if defined(__CUDACC__)
#define PYMDM_HD __host__ __device__ __forceinline__
#else
#define PYMDM_HD inline
#endif
