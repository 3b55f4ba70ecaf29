// Compiles the row kernels for one instruction set; CMakeLists.txt gives this file its flags.
#define PYMDM_KERNELS kKernelsAvx512
#define PYMDM_KERNELS_NAME "avx512"
#include "ops/cpu/kernels_body.h"
