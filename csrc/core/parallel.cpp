#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace pymdm {
namespace {

int processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Workers spin this many pauses before they sleep: about 20 us, longer than the gap between two operators of a forward.
constexpr int kSpins = 2000;

constexpr int kMostThreads = 4096;

class Pool {
 public:
  // Fewer workers where the system gives no more threads (limits of memory or of processes).
  explicit Pool(int workers) : wanted_(workers) {
    threads_.reserve(workers);
    try {
      for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
    }
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  int wanted() const { return wanted_; }
  int workers() const { return static_cast<int>(threads_.size()); }

  void run(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
    n_ = n;
    grain_ = grain;
    body_ = &body;
    next_.store(0);
    error_ = nullptr;
    busy_.store(workers());
    {
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    take_ranges();
    // Yield once the workers are late: they may be waiting for this very processor.
    for (int i = 0; busy_.load() != 0; ++i) i < kSpins ? relax() : std::this_thread::yield();
    body_ = nullptr;
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void take_ranges() {
    for (;;) {
      const int64_t begin = next_.fetch_add(grain_);
      if (begin >= n_) return;
      try {
        (*body_)(begin, std::min(n_, begin + grain_));
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
    }
  }

  void work();

  const int wanted_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  std::atomic<int64_t> next_{0};
  bool stop_ = false;
  int64_t n_ = 0, grain_ = 1;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  std::exception_ptr error_;
};

thread_local bool in_parallel = false;
std::mutex pool_mutex;  // held while the pool works
std::unique_ptr<Pool> pool;
std::atomic<int> wanted{0};

void Pool::work() {
  in_parallel = true;
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && generation_.load() == seen; ++i) relax();
    if (generation_.load() == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load() != seen; });
    }
    ++seen;
    if (stop_) return;
    take_ranges();
    busy_.fetch_sub(1);
  }
}

// After fork() the workers do not exist in the child: forget the pool (its memory is abandoned) and start anew.
void after_fork_in_child() {
  (void)pool.release();
  new (&pool_mutex) std::mutex;
}

}  // namespace

void set_num_threads(int n) { wanted.store(n < 1 ? processors() : std::min(n, kMostThreads)); }

int num_threads() {
  if (wanted.load() == 0) set_num_threads(0);
  return wanted.load();
}

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int threads = num_threads();
  std::unique_lock<std::mutex> lock(pool_mutex, std::defer_lock);
  if (threads == 1 || n <= grain || in_parallel || !lock.try_lock()) {
    for (int64_t begin = 0; begin < n; begin += grain) body(begin, std::min(n, begin + grain));
    return;
  }
  static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
  (void)registered;
  if (!pool || pool->wanted() != threads - 1) {
    pool.reset();
    pool = std::make_unique<Pool>(threads - 1);
  }
  in_parallel = true;
  try {
    pool->run(n, grain, body);
  } catch (...) {
    in_parallel = false;
    throw;
  }
  in_parallel = false;
}

}  // namespace pymdm
