// Compiles the row kernels for one instruction set; CMakeLists.txt gives this file its flags.
#define PYMDM_KERNELS kKernelsAvx2
#define PYMDM_KERNELS_NAME "avx2"
#include "ops/cpu/kernels_body.h"
