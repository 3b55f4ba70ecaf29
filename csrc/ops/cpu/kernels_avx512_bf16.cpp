// Compiles the row kernels for one instruction set; CMakeLists.txt gives this file its flags.
#define PYMDM_KERNELS kKernelsAvx512Bf16
#define PYMDM_KERNELS_NAME "avx512_bf16"
#include "ops/cpu/kernels_body.h"
