// Threads of our own.
#include "runtime/threads.h"

#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <utility>

#include "runtime/affinity.h"

namespace covector {
namespace {

constinit thread_local bool tls_outside = false;

}  // namespace

bool start_thread(void* (*run)(void*), void* argument) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals belong to the host's threads
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, size_t{8} << 20);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    Placement::set_start(&attributes);
    pthread_t thread;
    const bool started = pthread_create(&thread, &attributes, run, argument) == 0;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return started;
}

bool mark_outside(bool on) { return std::exchange(tls_outside, on); }
bool is_outside() { return tls_outside; }

}  // namespace covector
