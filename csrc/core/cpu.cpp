#include "core/cpu.h"

#include <cstdlib>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace pymdm {
namespace {

CpuFeatures detect() {
  CpuFeatures found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  found.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  found.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl");
  found.avx512_bf16 = found.avx512 && __builtin_cpu_supports("avx512bf16");
  unsigned a = 0, b = 0, c = 0, d = 0;
  // Leaf 7: EDX bit 22 is AMX-BF16, bit 24 AMX-TILE.
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) found.amx_bf16 = (d >> 22 & 1) && (d >> 24 & 1);
#endif
  return found;
}

bool listed(const std::string& list, const std::string& name) {
  return ("," + list + ",").find("," + name + ",") != std::string::npos;
}

}  // namespace

CpuFeatures cpu_features() {
  static const CpuFeatures found = detect();
  CpuFeatures use = found;
  const char* disable = std::getenv("PYMDM_CPU_DISABLE");
  if (disable == nullptr) return use;
  const std::string list(disable);
  if (listed(list, "avx2")) use = CpuFeatures{};
  if (listed(list, "avx512")) use.avx512 = use.avx512_bf16 = use.amx_bf16 = false;
  if (listed(list, "avx512_bf16")) use.avx512_bf16 = use.amx_bf16 = false;
  if (listed(list, "amx")) use.amx_bf16 = false;
  return use;
}

}  // namespace pymdm
