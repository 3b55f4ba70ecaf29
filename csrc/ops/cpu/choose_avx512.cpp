// Chooses by AVX-512 F, BW, CD, DQ and VL, 8 counters and 16 columns a vector. Compiled with those flags, on x86-64
// only.
#include "ops/cpu/choose_search.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <immintrin.h>

namespace pymdm::ops {
namespace {

struct Isa {
  static constexpr int kBlocks = 8, kStreams = 4;
  using U = __m512i;
  using F = __m512;
  using Flag = __mmask16;

  // Counter 64-bit lanes in the order 0 4 1 5 2 6 3 7: then even() and odd() need no permutation across 128-bit lanes.
  static U blocks(uint32_t first) {
    return _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
  }
  static U add(U a, int64_t n) { return _mm512_add_epi64(a, _mm512_set1_epi64(n)); }
  static U word(uint32_t w) { return _mm512_set1_epi32(static_cast<int>(w)); }
  static U mul0(U a) { return _mm512_mul_epu32(a, _mm512_set1_epi64(kPhiloxM0)); }
  static U mul1(U a) { return _mm512_mul_epu32(a, _mm512_set1_epi64(kPhiloxM1)); }
  static U high(U a) { return _mm512_srli_epi64(a, 32); }
  static U flip(U a, uint32_t k) { return _mm512_xor_si512(a, word(k)); }
  static U flip(U a, U b, uint32_t k) { return _mm512_ternarylogic_epi32(a, b, word(k), 0x96); }
  // Low half: high word of the product, xor b, xor k; high half: low word of the product.
  static U pack(U product, U b, uint32_t k) {
    return _mm512_mask_ternarylogic_epi32(_mm512_ror_epi64(product, 32), 0x5555, b, word(k), 0x96);
  }
  static U min(U a, U b) { return _mm512_min_epu32(a, b); }
  static bool any_at_most(U a, U limits) { return _mm512_cmple_epu32_mask(a, limits) != 0; }
  static U even(U ab, U cd) { return _mm512_unpacklo_epi64(ab, cd); }  // words of the first 16 columns
  static U odd(U ab, U cd) { return _mm512_unpackhi_epi64(ab, cd); }   // and of the next 16
  static void store(uint32_t* out, U a) { _mm512_store_si512(out, a); }

  static F all(float x) { return _mm512_set1_ps(x); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static float largest(F a) { return _mm512_reduce_max_ps(a); }
  static Flag no_flag() { return 0; }
  static Flag unordered(Flag flag, F a, F b) { return _kor_mask16(flag, _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q)); }
  static bool any(Flag flag) { return flag != 0; }
  static F ban(F x, const uint8_t* banned) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(banned));
    return _mm512_mask_mov_ps(x, _mm_test_epi8_mask(bytes, bytes), all(-INFINITY));
  }
  static uint32_t keep(F x, U words, float slope, float cut) {
    const F y = _mm512_cvtepi32_ps(_mm512_castps_si512(_mm512_cvtepu32_ps(words)));
    return _mm512_cmp_ps_mask(_mm512_fnmadd_ps(y, all(slope), x), all(cut), _CMP_NLT_UQ);
  }

  // Largest logits of the columns whose words share a lane of ab and cd, in the
  // order of those lanes.
  static F by_word(F even, F odd) {
    even = max(even, _mm512_shuffle_ps(even, even, 0x4E));
    odd = max(odd, _mm512_shuffle_ps(odd, odd, 0x4E));
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(even), _mm512_castps_pd(odd)));
  }
  // word_limit() of z = most scale + offset, kept to [1, 32]; 256 is more than
  // the chord's rounding.
  static U limits(F most, float scale, float offset) {
    const F z = _mm512_min_ps(_mm512_max_ps(_mm512_fmadd_ps(most, all(scale), all(offset)), all(1)), all(32));
    const U bits = _mm512_cvtps_epi32(_mm512_fmadd_ps(z, all(0x1p23f), all(127 * 0x1p23f + 256)));
    return _mm512_cvttps_epu32(_mm512_castsi512_ps(bits));  // 2^32 and more: all ones
  }

  template <DType kType>
  static F load(const void* p) {
    if constexpr (kType == DType::kFloat32) {
      return _mm512_loadu_ps(p);
    } else if constexpr (kType == DType::kFloat64) {
      const __m256 lo = _mm512_cvtpd_ps(_mm512_loadu_pd(p));
      return _mm512_insertf32x8(_mm512_castps256_ps512(lo),
                                _mm512_cvtpd_ps(_mm512_loadu_pd(static_cast<const double*>(p) + 8)), 1);
    } else {
      const __m256i half = _mm256_loadu_si256(static_cast<const __m256i*>(p));
      if constexpr (kType == DType::kFloat16) return _mm512_cvtph_ps(half);
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
  }
};

}  // namespace
}  // namespace pymdm::ops

#include "ops/cpu/choose_row.h"

namespace pymdm::ops {

const SearchKernels& search_avx512() {
  static constexpr SearchKernels kernels{search_any, extent_any, words_any};
  return kernels;
}

}  // namespace pymdm::ops

#endif
