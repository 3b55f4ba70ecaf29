// A matrix is a view of float32 or bfloat16 rows that somebody else owns; a buffer is aligned memory to hold them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/types.h"

namespace pymdm::ops {

struct Matrix {
  void* data = nullptr;  // rows `stride` elements apart
  int64_t stride = 0;
  DType dtype = DType::kFloat32;

  char* row(int64_t i, int64_t column = 0) const {
    return static_cast<char*>(data) + (i * stride + column) * static_cast<int64_t>(element_size(dtype));
  }
};

// Rows that a matrix entering a product must have beyond its last: products take rows in fixed groups.
constexpr int64_t kRowPadding = 16;

// A parameter as the caller holds it: contiguous, row-major; or `parts` with the same columns, one below the other,
// where a file keeps in several tensors what is one here (q, k and v). `data` and `dtype` are then not used.
struct Parameter {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t rows = 0, columns = 1;  // a vector has one column
  std::vector<Parameter> parts = {};

  struct Row {
    const void* data;
    DType dtype;
  };
  Row row(int64_t i) const {
    for (const Parameter& part : parts) {
      if (i < part.rows) return part.row(i);
      i -= part.rows;
    }
    return {static_cast<const char*>(data) + i * columns * static_cast<int64_t>(element_size(dtype)), dtype};
  }
};

// Memory aligned to cache lines; on huge pages where it is large, which saves the page walks of a stream of weights.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t bytes) { reserve(bytes); }

  // Makes room; the contents are lost where it grows.
  char* reserve(int64_t bytes) {
    if (bytes <= bytes_) return data();
    constexpr int64_t kHuge = int64_t{1} << 21;
    const int64_t unit = bytes >= 2 * kHuge ? kHuge : 64, rounded = (bytes + unit - 1) / unit * unit;
    memory_.reset();
    bytes_ = 0;
    memory_.reset(std::aligned_alloc(unit, rounded));
    if (!memory_) throw std::bad_alloc();
#if defined(__linux__)
    if (unit == kHuge) madvise(memory_.get(), rounded, MADV_HUGEPAGE);
#endif
    bytes_ = rounded;
    return data();
  }
  char* data() const { return static_cast<char*>(memory_.get()); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory_;
  int64_t bytes_ = 0;
};

}  // namespace pymdm::ops
