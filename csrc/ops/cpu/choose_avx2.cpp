// Chooses by AVX2 with FMA and F16C, 4 counters and 8 columns a vector. Compiled with those flags, on x86-64 only.
#include "ops/cpu/choose_search.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

namespace pymdm::ops {
namespace {

struct Isa {
  static constexpr int kBlocks = 4, kStreams = 4;
  using U = __m256i;
  using F = __m256;
  using Flag = __m256;

  // Counter 64-bit lanes in the order 0 2 1 3: then even() and odd() need no permutation across 128-bit lanes.
  static U blocks(uint32_t first) {
    return _mm256_add_epi64(_mm256_set1_epi64x(first), _mm256_setr_epi64x(0, 2, 1, 3));
  }
  static U add(U a, int64_t n) { return _mm256_add_epi64(a, _mm256_set1_epi64x(n)); }
  static U word(uint32_t w) { return _mm256_set1_epi32(static_cast<int>(w)); }
  static U mul0(U a) { return _mm256_mul_epu32(a, _mm256_set1_epi64x(kPhiloxM0)); }
  static U mul1(U a) { return _mm256_mul_epu32(a, _mm256_set1_epi64x(kPhiloxM1)); }
  static U high(U a) { return _mm256_srli_epi64(a, 32); }
  static U flip(U a, uint32_t k) { return _mm256_xor_si256(a, word(k)); }
  static U flip(U a, U b, uint32_t k) { return _mm256_xor_si256(_mm256_xor_si256(a, b), word(k)); }
  // Low half: high word of the product, xor b, xor k; high half: low word of the product.
  static U pack(U product, U b, uint32_t k) {
    return _mm256_blend_epi32(flip(high(product), b, k), _mm256_slli_epi64(product, 32), 0xAA);
  }
  static U min(U a, U b) { return _mm256_min_epu32(a, b); }
  static bool any_at_most(U a, U limits) {
    return _mm256_movemask_epi8(_mm256_cmpeq_epi32(_mm256_min_epu32(a, limits), a)) != 0;
  }
  static U even(U ab, U cd) { return _mm256_unpacklo_epi64(ab, cd); }  // words of the first 8 columns
  static U odd(U ab, U cd) { return _mm256_unpackhi_epi64(ab, cd); }   // and of the next 8
  static void store(uint32_t* out, U a) { _mm256_store_si256(reinterpret_cast<__m256i*>(out), a); }

  static F all(float x) { return _mm256_set1_ps(x); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static float largest(F a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }
  static Flag no_flag() { return _mm256_setzero_ps(); }
  static Flag unordered(Flag flag, F a, F b) { return _mm256_or_ps(flag, _mm256_cmp_ps(a, b, _CMP_UNORD_Q)); }
  static bool any(Flag flag) { return _mm256_movemask_ps(flag) != 0; }
  static F ban(F x, const uint8_t* banned) {
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(banned)));
    return _mm256_blendv_ps(all(-INFINITY), x, _mm256_castsi256_ps(_mm256_cmpeq_epi32(wide, _mm256_setzero_si256())));
  }
  static uint32_t keep(F x, U words, float slope, float cut) {
    // AVX2 converts signed words only. The chord of the halved word, 2^23 less, keeps a little more and never less.
    const __m256 half = _mm256_cvtepi32_ps(_mm256_srli_epi32(words, 1));
    const __m256 y = _mm256_cvtepi32_ps(_mm256_castps_si256(half));
    return _mm256_movemask_ps(_mm256_cmp_ps(_mm256_fnmadd_ps(y, all(slope), x), all(cut), _CMP_NLT_UQ));
  }

  // Largest logits of the columns whose words share a lane of ab and cd, in the
  // order of those lanes.
  static F by_word(F even, F odd) {
    even = max(even, _mm256_shuffle_ps(even, even, 0x4E));
    odd = max(odd, _mm256_shuffle_ps(odd, odd, 0x4E));
    return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(even), _mm256_castps_pd(odd)));
  }
  // word_limit() of z = most scale + offset, kept to [1, 32]; 256 is more than
  // the chord's rounding. Signed words only: half the limit is converted, and
  // doubled with the last bit set; from z = 31.9 on all words pass.
  static U limits(F most, float scale, float offset) {
    const F z = _mm256_max_ps(_mm256_fmadd_ps(most, all(scale), all(offset)), all(1));
    const F half = _mm256_fmadd_ps(_mm256_min_ps(z, all(31.9f)), all(0x1p23f), all(126 * 0x1p23f + 256));
    const U limit = _mm256_slli_epi32(_mm256_cvttps_epi32(_mm256_castsi256_ps(_mm256_cvtps_epi32(half))), 1);
    const U every = _mm256_castps_si256(_mm256_cmp_ps(z, all(31.9f), _CMP_GE_OQ));
    return _mm256_or_si256(_mm256_or_si256(limit, _mm256_set1_epi32(1)), every);
  }

  template <DType kType>
  static F load(const void* p) {
    if constexpr (kType == DType::kFloat32) {
      return _mm256_loadu_ps(static_cast<const float*>(p));
    } else if constexpr (kType == DType::kFloat64) {
      const double* d = static_cast<const double*>(p);
      return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(_mm256_loadu_pd(d))),
                                  _mm256_cvtpd_ps(_mm256_loadu_pd(d + 4)), 1);
    } else {
      const __m128i half = _mm_loadu_si128(static_cast<const __m128i*>(p));
      if constexpr (kType == DType::kFloat16) return _mm256_cvtph_ps(half);
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
  }
};

}  // namespace
}  // namespace pymdm::ops

#include "ops/cpu/choose_row.h"

namespace pymdm::ops {

const SearchKernels& search_avx2() {
  static constexpr SearchKernels kernels{search_any, extent_any, words_any};
  return kernels;
}

}  // namespace pymdm::ops

#endif
