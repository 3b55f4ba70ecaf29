// Marks functions that must mean the same on host and device; everything so marked is covered by the CPU tests.
#pragma once

// A device's own code: compiled for a device, or run on a processor by the emulator of tests/device/emulation.
#if defined(__CUDA_ARCH__) || defined(PYMDM_EMULATE_DEVICE)
#define PYMDM_DEVICE_CODE
#endif

#if defined(__CUDACC__)
#define PYMDM_HD __host__ __device__ __forceinline__
#else
#define PYMDM_HD inline
#endif
