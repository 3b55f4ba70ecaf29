// A small thread pool runs loops in parallel. Work is cut into ranges that do not depend on the number of threads being
// used, so a result that is a pure function of its range is the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace pymdm {

// Threads used by parallel_for in this process; n < 1 means one per processor the process may run on.
void set_num_threads(int n);
int num_threads();

// Calls body(begin, end) over [0, n) in ranges of `grain` elements (the last may be shorter). Nested calls, and calls
// made while another thread holds the pool, run serially. The first exception of a body is thrown here after all have
// ended.
void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace pymdm
