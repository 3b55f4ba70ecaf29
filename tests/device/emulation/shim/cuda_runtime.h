// In place of CUDA's header: runs a kernel's own text on one CPU thread. The threads of a block are fibers, switched
// at barriers and shuffles only, in an order drawn anew for each block from emulated::seed; blocks run one after the
// other, in such an order too. Shared memory is that of the block before, as on a device.
#pragma once

#include <csetjmp>
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __noinline__ __attribute__((noinline))
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static  // one block runs at a time

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

inline uint64_t seed = 0;
inline constexpr unsigned kMostThreads = 1024, kWarp = 32;
inline constexpr size_t kStack = 128 << 10;

// One thread after the other of that number, in all blocks. Switched by _setjmp, which makes no system call.
struct Fiber {
  ucontext_t context;
  std::jmp_buf here;
  std::vector<char> stack = std::vector<char>(kStack);
  dim3 thread;
  bool started = false, done = false;
};

// Counts those that wait; all leave when the last has come.
struct Barrier {
  unsigned count = 0, generation = 0;
};

inline std::vector<std::unique_ptr<Fiber>> fibers;
inline ucontext_t start;
inline std::jmp_buf scheduler;
inline size_t now = 0;
inline std::function<void()> kernel;
inline Barrier block_barrier, warp_barrier[kMostThreads / kWarp];
inline uint64_t arrivals = 0;  // at any barrier
inline uint64_t slots[kMostThreads / kWarp][kWarp];

inline unsigned thread() { return threadIdx.x + blockDim.x * threadIdx.y; }

inline void leave_to_others() {
  if (_setjmp(fibers[now]->here) == 0) _longjmp(scheduler, 1);
}

inline void entry() {
  for (;;) {
    kernel();
    fibers[now]->done = true;
    leave_to_others();
  }
}

// Runs a thread up to its next barrier or to its end.
inline void resume(size_t thread) {
  Fiber& fiber = *fibers[thread];
  now = thread, threadIdx = fiber.thread;
  if (_setjmp(scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.here, 1);
  fiber.started = true;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.data(), fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
  swapcontext(&start, &fiber.context);
}

inline void wait(Barrier& barrier, unsigned threads) {
  const unsigned mine = barrier.generation;
  ++arrivals;
  if (++barrier.count == threads) {
    barrier.count = 0, ++barrier.generation;
    return;
  }
  while (barrier.generation == mine) leave_to_others();
}

// The value of another lane; this lane's own where there is none.
template <class T>
T value_of(T value, int lane) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  const unsigned warp = thread() / kWarp;
  std::memcpy(&slots[warp][thread() % kWarp], &value, sizeof value);
  wait(warp_barrier[warp], kWarp);
  if (lane >= 0 && lane < static_cast<int>(kWarp)) std::memcpy(&value, &slots[warp][lane], sizeof value);
  wait(warp_barrier[warp], kWarp);
  return value;
}

inline int lane() { return static_cast<int>(thread() % kWarp); }

// Runs a block's threads up to their next barrier, in `order`, until all have ended. False where nothing moves any
// more: a barrier that some threads do not reach.
inline bool run_block(const std::vector<unsigned>& order) {
  for (size_t left = order.size(); left > 0;) {
    const uint64_t before = arrivals;
    const size_t had = left;
    for (const unsigned t : order) {
      if (fibers[t]->done) continue;
      resume(t);
      left -= fibers[t]->done;
    }
    if (left == had && arrivals == before) return false;
  }
  return true;
}

// Every block of a grid, of whole warps; false where a block hung.
template <class F>
bool launch(dim3 grid, dim3 block, const F& body) {
  const unsigned threads = block.x * block.y;
  blockDim = block, gridDim = grid, kernel = body;
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  std::mt19937_64 random(seed);
  std::vector<unsigned> blocks(grid.x * grid.y), order(threads);
  std::iota(blocks.begin(), blocks.end(), 0u);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(blocks.begin(), blocks.end(), random);
  for (const unsigned b : blocks) {
    blockIdx = dim3(b % grid.x, b / grid.x);
    std::shuffle(order.begin(), order.end(), random);
    for (unsigned t = 0; t < threads; ++t)
      fibers[t]->done = false, fibers[t]->thread = dim3(t % block.x, t / block.x);
    if (!run_block(order)) {
      fibers.clear();
      block_barrier = {};
      for (Barrier& barrier : warp_barrier) barrier = {};
      return false;
    }
  }
  return true;
}

}  // namespace emulated

inline void __syncthreads() { emulated::wait(emulated::block_barrier, blockDim.x * blockDim.y); }
inline void __syncwarp() { emulated::wait(emulated::warp_barrier[emulated::thread() / 32], 32); }
inline void __threadfence() {}
template <class T>
T __shfl_down_sync(unsigned, T v, int distance) {
  return emulated::value_of(v, emulated::lane() + distance);
}
template <class T>
T __shfl_up_sync(unsigned, T v, int distance) {
  return emulated::value_of(v, emulated::lane() - distance);
}
template <class T>
T __shfl_xor_sync(unsigned, T v, int distance) {
  return emulated::value_of(v, emulated::lane() ^ distance);
}
inline uint32_t __reduce_max_sync(unsigned mask, uint32_t v) {
  for (int distance = 16; distance > 0; distance /= 2) v = std::max(v, __shfl_xor_sync(mask, v, distance));
  return v;
}
template <class T>
T atomicMax(T* at, T v) {
  const T old = *at;
  *at = std::max(old, v);
  return old;
}
template <class T>
T atomicAdd(T* at, T v) {
  const T old = *at;
  *at = old + v;
  return old;
}
inline int __ffs(unsigned x) { return __builtin_ffs(static_cast<int>(x)); }
