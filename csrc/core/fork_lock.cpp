#include "core/fork_lock.h"

#include <pthread.h>

#include <set>

namespace pymdm {
namespace {

// Never destroyed: locks may outlive the statics of this file. The first mutex guards the set.
std::mutex& all_mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}
std::set<ForkLock*>& all() {
  static auto* locks = new std::set<ForkLock*>;
  return *locks;
}

// A thread holds at most one of them at a time, and nothing that the forking thread holds is needed to let it go.
void before() {
  all_mutex().lock();
  for (ForkLock* lock : all()) lock->lock();
}

void after() {
  for (ForkLock* lock : all()) lock->unlock();
  all_mutex().unlock();
}

}  // namespace

ForkLock::ForkLock() {
  static const int registered = pthread_atfork(before, after, after);
  (void)registered;
  const std::lock_guard<std::mutex> guard(all_mutex());
  all().insert(this);
}

ForkLock::~ForkLock() {
  const std::lock_guard<std::mutex> guard(all_mutex());
  all().erase(this);
}

}  // namespace pymdm
