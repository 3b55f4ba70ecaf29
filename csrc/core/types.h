// Defines the element types of tensors, their sizes, and a span of elements that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pymdm {

enum class DType : int32_t { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kFloat64 = 3 };

inline size_t element_size(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return 4;
    case DType::kFloat64:
      return 8;
    default:
      return 2;
  }
}

// A contiguous run of `size` elements that somebody else owns.
template <class T>
struct Span {
  T* data = nullptr;
  int64_t size = 0;

  T* begin() const { return data; }
  T* end() const { return data + size; }
  T& operator[](int64_t i) const { return data[i]; }
};

}  // namespace pymdm
