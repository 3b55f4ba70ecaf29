// A mutex that a child of fork() finds free, and what it guards whole: fork() waits until no thread holds one.
#pragma once

#include <mutex>

namespace pymdm {

class ForkLock {
 public:
  ForkLock();
  ~ForkLock();
  ForkLock(const ForkLock&) = delete;

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

}  // namespace pymdm
