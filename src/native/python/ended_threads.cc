// Threads that the interpreter ends when it goes away.
//
// A daemon thread that asks for the GIL while the interpreter finalises is ended by pthread_exit,
// which unwinds the stack: through our frames, whose destructors drop references without the GIL,
// or which must not throw, and then the process aborts. The linker puts this function in place of
// C++'s own (see CMakeLists.txt); it stops such a thread where it first meets a frame of ours.
// Other libraries' frames it cannot see: of optree's, one that asks for the GIL must not throw, so
// the process would end there. What ends it stops such a thread too.
// Python 3.14 stops the threads itself.
#include "python/ended_threads.h"

#if !defined(__APPLE__)
#include <Python.h>
#include <unistd.h>
#include <unwind.h>

#include <cstdint>
#include <cstdlib>
#include <exception>

#if PY_VERSION_HEX < 0x030d0000
#define Py_IsFinalizing _Py_IsFinalizing
#endif

namespace covector {
namespace {

std::terminate_handler g_terminate = nullptr;  // the one before

[[noreturn]] void terminate_or_stop() {
    while (Py_IsFinalizing() && PyGILState_Check() == 0) pause();  // the thread that finalises has it
    if (g_terminate != nullptr) g_terminate();
    std::abort();
}

}  // namespace

void stop_ended_threads() { g_terminate = std::set_terminate(terminate_or_stop); }

}  // namespace covector

extern "C" {
_Unwind_Reason_Code __real___gxx_personality_v0(int version, _Unwind_Action actions,
                                                uint64_t kind, _Unwind_Exception* exception,
                                                _Unwind_Context* context);

_Unwind_Reason_Code __wrap___gxx_personality_v0(int version, _Unwind_Action actions,
                                                uint64_t kind, _Unwind_Exception* exception,
                                                _Unwind_Context* context) {
    while ((actions & _UA_FORCE_UNWIND) != 0 && Py_IsFinalizing()) pause();
    return __real___gxx_personality_v0(version, actions, kind, exception, context);
}
}
#else

void covector::stop_ended_threads() {}  // there pthread_exit does not unwind

#endif
