// Compiles the row kernels for one instruction set; CMakeLists.txt gives this file its flags.
#define PYMDM_KERNELS kKernelsPlain
#define PYMDM_KERNELS_NAME "plain"
#include "ops/cpu/kernels_body.h"
