// Reads the instruction sets of this processor at run time. PYMDM_CPU_DISABLE="amx,avx512,avx512_bf16,avx2" switches
// features off, for tests.
#pragma once

namespace pymdm {

struct CpuFeatures {
  bool avx2 = false;         // AVX2 with FMA and BMI/LZCNT
  bool avx512 = false;       // AVX-512 F, BW, CD, DQ, VL
  bool avx512_bf16 = false;  // dot products of bfloat16 pairs
  bool amx_bf16 = false;     // bfloat16 tiles
};

// Features present and not switched off. Reads the environment at each call: ask once per operator call, not per row.
CpuFeatures cpu_features();

}  // namespace pymdm
