// Defines the row kernels of kernels.h. Each kernels_<set>.cpp includes it once. No standard library here: see simd.h.
#include "ops/cpu/kernels.h"
#include "ops/cpu/kernels_peak.h"
#include "ops/cpu/kernels_product.h"
#include "ops/cpu/simd.h"

namespace pymdm::ops {
namespace {

using namespace simd;

template <class T>
void norm_row(const NormRow& norm, const float* x, const float* shift, const float* scale, T* out) {
  const int64_t D = norm.width;
  float mean = 0;
  if (norm.centred) {
    vf total{};
    for_row(D, PYMDM_BODY(i, lanes) { total += load(x + i, lanes); });
    mean = sum(total) / static_cast<float>(D);
  }
  vf squares{};
  for_row(
      D, PYMDM_BODY(i, lanes) {
        const vf centred = first(load(x + i, lanes) - mean, lanes);
        squares += centred * centred;
      });
  const float rate = 1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(D) + norm.eps);
  for_row(
      D, PYMDM_BODY(i, lanes) {
        vf y = (load(x + i, lanes) - mean) * rate * load(norm.weight + i, lanes);
        if (norm.bias) y += load(norm.bias + i, lanes);
        if (scale) y = y * (1.0f + load(scale + i, lanes)) + load(shift + i, lanes);
        store(out + i, y, lanes);
      });
}

template <class T>
void store_row(const float* c, const float* bias, int64_t n, T* out) {
  for_row(n, PYMDM_BODY(i, lanes) { store(out + i, load(c + i, lanes) + load(bias + i, lanes), lanes); });
}

void add_row(const float* c, const float* bias, const float* gate, int64_t n, float* x) {
  for_row(
      n, PYMDM_BODY(i, lanes) {
        vf y = load(c + i, lanes) + load(bias + i, lanes);
        if (gate) y *= load(gate + i, lanes);
        store(x + i, load(x + i, lanes) + y, lanes);
      });
}

// x/2 (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3)
template <class T>
void gelu_row(const float* c, const float* bias, int64_t n, T* out) {
  for_row(
      n, PYMDM_BODY(i, lanes) {
        const vf x = load(c + i, lanes) + load(bias + i, lanes);
        store(out + i, times_sigmoid(x, 1.59576912f * (x + 0.044715f * x * x * x), grade(out)), lanes);
      });
}

// x Phi(x) = max(x, 0) - |x| erfc(|x| / sqrt(2)) / 2, erfc to 1.5e-7 (Abramowitz and Stegun 7.1.26)
template <class Grade>
PYMDM_SIMD vf gelu_erf_of(vf x, Grade grade) {
  const vf size = max(-x, x);
  const vf t = 1.0f / (1.0f + 0.231641888f * size);
  vf p = splat(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const vf erfc = p * t * exp2_of(x * x * -0.721347520f, grade);
  return max(splat(0.0f), x) - 0.5f * size * erfc;
}

template <class T>
void gelu_erf_row(const float* c, const float* bias, int64_t n, T* out) {
  for_row(
      n, PYMDM_BODY(i, lanes) {
        store(out + i, gelu_erf_of(load(c + i, lanes) + load(bias + i, lanes), grade(out)), lanes);
      });
}

template <class T>
void geglu_row(const float* g, const float* gb, const float* u, const float* ub, int64_t n, T* out) {
  for_row(
      n, PYMDM_BODY(i, lanes) {
        const vf gate = gelu_erf_of(load(g + i, lanes) + load(gb + i, lanes), grade(out));
        store(out + i, gate * (load(u + i, lanes) + load(ub + i, lanes)), lanes);
      });
}

template <class T>
void swiglu_row(const float* g, const float* gb, const float* u, const float* ub, int64_t n, T* out) {
  for_row(
      n, PYMDM_BODY(i, lanes) {
        const vf gate = load(g + i, lanes) + load(gb + i, lanes);
        store(out + i, times_sigmoid(gate, gate, grade(out)) * (load(u + i, lanes) + load(ub + i, lanes)), lanes);
      });
}

template <class T>
void rotate_row(const float* c, const float* bias, const float* cos, const float* sin, float scale, int64_t half,
                T* out) {
  for_row(
      half, PYMDM_BODY(i, lanes) {
        const vf a = load(c + i, lanes) + load(bias + i, lanes);
        const vf b = load(c + half + i, lanes) + load(bias + half + i, lanes);
        const vf cs = load(cos + i, lanes), sn = load(sin + i, lanes);
        store(out + i, (a * cs - b * sn) * scale, lanes);
        store(out + half + i, (b * cs + a * sn) * scale, lanes);
      });
}

float maximum_row(const float* s, int64_t n, float start) {
  vf top = splat(start);
  int64_t i = 0;
  for (; i + kFloats <= n; i += kFloats)
    top = max(load(s + i, Whole{}), top);  // passes NaN over: the exponentials keep it
  float best = start;
  for (int64_t j = 0; j < kFloats; ++j) best = best < top[j] ? top[j] : best;
  for (; i < n; ++i) best = best < s[i] ? s[i] : best;
  return best;
}

template <class T>
float softmax_row(const float* s, int64_t n, int64_t padded, float top, T* p) {
  vf total{};
  for_row(
      n, PYMDM_BODY(i, lanes) {
        const vf e = first(exp2_of(load(s + i, lanes) - top, grade(p)), lanes);
        total += e;
        store(p + i, e, lanes);
      });
  for (int64_t i = n; i < padded; ++i) p[i] = T{0};
  return sum(total);
}

template <class T>
void scale_row(const float* o, float factor, int64_t n, T* out) {
  for_row(n, PYMDM_BODY(i, lanes) { store(out + i, load(o + i, lanes) * factor, lanes); });
}

#if defined(__AVX512BF16__)
PYMDM_SIMD __m512bh pairs(const uint16_t* p) {
  __m512bh x;
  memcpy(&x, p, sizeof x);
  return x;
}
#endif

// Sum of the lanes, by halves.
PYMDM_SIMD float fold(vf x) {
  float lanes[kFloats];
  memcpy(lanes, &x, sizeof x);
#pragma GCC unroll 4
  for (int64_t half = kFloats / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

template <int J, class T>
void dots_of(const T* a, const T* b, int64_t stride, int64_t n, float* scores) {
  vf total[J] = {};
#if defined(__AVX512BF16__)
  if constexpr (sizeof(T) == 2) {
    const int64_t whole = n / (2 * kFloats) * (2 * kFloats);
    for (int64_t i = 0; i < whole; i += 2 * kFloats) {
      const __m512bh x = pairs(a + i);
      for (int j = 0; j < J; ++j) total[j] = (vf)_mm512_dpbf16_ps((__m512)total[j], x, pairs(b + j * stride + i));
    }
    a += whole;
    b += whole;
    n -= whole;
  }
#endif
  for_row(
      n, PYMDM_BODY(i, lanes) {
        const vf x = load(a + i, lanes);
        for (int j = 0; j < J; ++j) total[j] += x * load(b + j * stride + i, lanes);
      });
  for (int j = 0; j < J; ++j) scores[j] = fold(total[j]);
}

template <class T>
void dots_row(const T* a, const T* b, int64_t stride, int64_t count, int64_t n, float* scores) {
  int64_t j = 0;
  for (; j + 4 <= count; j += 4) dots_of<4>(a, b + j * stride, stride, n, scores + j);
  for (; j < count; ++j) dots_of<1>(a, b + j * stride, stride, n, scores + j);
}

// U vectors of columns stay in registers over all rows.
template <int U, class T, class Lanes>
PYMDM_SIMD void mix_of(float* out, float fade, const float* weights, const T* v, int64_t stride, int64_t count,
                       Lanes lanes) {
  vf total[U];
  for (int u = 0; u < U; ++u) total[u] = load(out + u * kFloats, lanes) * fade;
  for (int64_t j = 0; j < count; ++j)
    for (int u = 0; u < U; ++u) total[u] += weights[j] * load(v + j * stride + u * kFloats, lanes);
  for (int u = 0; u < U; ++u) store(out + u * kFloats, total[u], lanes);
}

template <class T>
void mix_row(float* out, float fade, const float* weights, const T* v, int64_t stride, int64_t count, int64_t n) {
  int64_t i = 0;
  for (; i + 4 * kFloats <= n; i += 4 * kFloats) mix_of<4>(out + i, fade, weights, v + i, stride, count, Whole{});
  for (; i + kFloats <= n; i += kFloats) mix_of<1>(out + i, fade, weights, v + i, stride, count, Whole{});
  if (i < n) mix_of<1>(out + i, fade, weights, v + i, stride, count, n - i);
}

// Entries of the table: the element type of the output decides the instance.
#define PYMDM_BOTH(call)            \
  do {                              \
    if (dtype == DType::kFloat32) { \
      using T = float;              \
      call;                         \
    } else {                        \
      using T = uint16_t;           \
      call;                         \
    }                               \
  } while (false)

void norm_any(const NormRow& norm, const float* x, const float* shift, const float* scale, void* out, DType dtype) {
  PYMDM_BOTH(norm_row(norm, x, shift, scale, static_cast<T*>(out)));
}
void store_any(const float* c, const float* bias, int64_t n, void* out, DType dtype) {
  PYMDM_BOTH(store_row(c, bias, n, static_cast<T*>(out)));
}
void gelu_any(const float* c, const float* bias, int64_t n, void* out, DType dtype) {
  PYMDM_BOTH(gelu_row(c, bias, n, static_cast<T*>(out)));
}
void gelu_erf_any(const float* c, const float* bias, int64_t n, void* out, DType dtype) {
  PYMDM_BOTH(gelu_erf_row(c, bias, n, static_cast<T*>(out)));
}
void swiglu_any(const float* g, const float* gb, const float* u, const float* ub, int64_t n, void* out, DType dtype) {
  PYMDM_BOTH(swiglu_row(g, gb, u, ub, n, static_cast<T*>(out)));
}
void geglu_any(const float* g, const float* gb, const float* u, const float* ub, int64_t n, void* out, DType dtype) {
  PYMDM_BOTH(geglu_row(g, gb, u, ub, n, static_cast<T*>(out)));
}
void rotate_any(const float* c, const float* bias, const float* cos, const float* sin, float scale, int64_t half,
                void* out, DType dtype) {
  PYMDM_BOTH(rotate_row(c, bias, cos, sin, scale, half, static_cast<T*>(out)));
}
float softmax_any(const float* s, int64_t n, int64_t padded, float top, void* p, DType dtype) {
  PYMDM_BOTH(return softmax_row(s, n, padded, top, static_cast<T*>(p)));
}
void scale_any(const float* o, float factor, int64_t n, void* out, DType dtype) {
  PYMDM_BOTH(scale_row(o, factor, n, static_cast<T*>(out)));
}
void dots_any(const void* a, const void* b, int64_t stride, int64_t count, int64_t n, float* scores, DType dtype) {
  PYMDM_BOTH(dots_row(static_cast<const T*>(a), static_cast<const T*>(b), stride, count, n, scores));
}
void mix_any(float* out, float fade, const float* weights, const void* v, int64_t stride, int64_t count, int64_t n,
             DType dtype) {
  PYMDM_BOTH(mix_row(out, fade, weights, static_cast<const T*>(v), stride, count, n));
}
void product_any(DType dtype, int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, float* c,
                 int64_t ldc, bool accumulate, const void* next) {
  PYMDM_BOTH(product_rows(m, n, k, static_cast<const T*>(a), lda, static_cast<const T*>(b), c, ldc, accumulate, next));
}
int64_t peak_any(DType dtype, int64_t rounds) { PYMDM_BOTH(return peak_rounds(rounds, static_cast<T*>(nullptr))); }

}  // namespace

extern const Kernels PYMDM_KERNELS;
const Kernels PYMDM_KERNELS = {PYMDM_KERNELS_NAME, norm_any,  store_any,   add_row,     gelu_any,    gelu_erf_any,
                               swiglu_any,         geglu_any, rotate_any,  maximum_row, softmax_any, scale_any,
                               dots_any,           mix_any,   product_any, peak_any};

}  // namespace pymdm::ops
