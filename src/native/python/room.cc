// Room on the stack: more of Python's frames, and where the thread's stack ends another piece of stack.
//
// A user's functions may be nested as deep as the user likes, and calls of ours nest as they do: each level takes some
// 20 of Python's frames, of which a program has 1,000. So where few are left, a call of ours begins to count anew: the
// limit of Python is for what is between two calls. Frames take room on the machine's stack as well, where native code
// calls Python: where little is left, a call goes on in another piece of memory. Python knows nothing of that, nor need
// it: what it has on the stack it finds by pointers.
//
// What has no end is refused: what takes more than kTimesOfUsers the frames of Python's own limit.
// What goes through a Program as deep as it is says how many frames that takes: `with_frames`.
#include "python/room.h"

#include <pthread.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <utility>

#include "python/state.h"

#if defined(__SANITIZE_THREAD__)
#define CV_ONE_STACK  // it knows the thread's own alone
#endif
#if !defined(__GLIBC__)
#define CV_ONE_STACK  // without functions that change it
#endif
#if !defined(CV_ONE_STACK)
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace covector {

constinit thread_local uintptr_t tls_short_stack = ~uintptr_t{0};

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kTimes = 4;  // frames with what the sanitizer lays around variables
#else
constexpr size_t kTimes = 1;
#endif
constexpr size_t kNeeded = kTimes * 4 << 20;  // for 1,000 of Python's frames, and LLVM behind them
constexpr size_t kPiece = kTimes * 64 << 20;
constexpr size_t kBytesOfFrame = kTimes * 2048;  // at most, on the average: native code calls Python in one of three

thread_local long tls_frames = 0;  // of Python's, which are not counted now

uintptr_t here() { return reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); }

// From which address on this thread's own stack is short.
uintptr_t end_of_thread() {
    void* lowest = nullptr;
    size_t size = 0;
#if defined(__APPLE__)
    size = pthread_get_stacksize_np(pthread_self());
    lowest = static_cast<char*>(pthread_get_stackaddr_np(pthread_self())) - size;
#else
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return here() - kNeeded;
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_destroy(&attributes);
#endif
    return reinterpret_cast<uintptr_t>(lowest) + std::min(kNeeded, size / 2);
}

bool stack_is_short() {
    if (tls_short_stack == ~uintptr_t{0}) tls_short_stack = end_of_thread();
    return here() < tls_short_stack;
}

// A count of Python's frames that begins anew, for the length of a scope.
class MoreFrames {
public:
    // So many, if fewer than `needed` are left.
    explicit MoreFrames(int many, int needed = kFramesOfCall) {
        PyThreadState* thread = PyThreadState_Get();
#if PY_VERSION_HEX >= 0x030C0000
        frames_ = up(&thread->py_recursion_remaining, many, needed);
        native_ = up(&thread->c_recursion_remaining, std::max(many, 2 * needed), needed);
#else
        frames_ = up(&thread->recursion_remaining, many, needed);
#endif
    }
    ~MoreFrames() {
        PyThreadState* thread = PyThreadState_Get();
#if PY_VERSION_HEX >= 0x030C0000
        thread->py_recursion_remaining -= frames_;
        thread->c_recursion_remaining -= native_;
#else
        thread->recursion_remaining -= frames_;
#endif
    }
    MoreFrames(const MoreFrames&) = delete;
    MoreFrames& operator=(const MoreFrames&) = delete;

    int count() const { return frames_; }

private:
    // Returns how many that is more.
    static int up(int* left, int many, int needed) {
        if (*left >= needed || *left >= many) return 0;
        const int more = many - *left;
        *left += more;
        return more;
    }

    int frames_ = 0;
    int native_ = 0;
};

// Raises what says that functions are nested too deep, which Python words; null.
PyObject* too_deep(const char* reason) {
    const MoreFrames more(Py_GetRecursionLimit());  // to say so
    if (g_hooks.too_deep == nullptr) {
        PyErr_Format(PyExc_RecursionError, "functions are nested too deep: %s", reason);
        return nullptr;
    }
    Ref error(PyObject_CallFunction(g_hooks.too_deep, "s", reason));
    if (error) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
    return nullptr;
}

struct Call {
    PyObject* fun;
    PyObject* const* args;
    size_t flags;
    PyObject* names;
    PyObject* result;

    bool run() {
        result = PyObject_Vectorcall(fun, args, flags, names);
        return true;
    }
};

#if defined(CV_ONE_STACK)

bool run_elsewhere(Call*, size_t) {
    too_deep("the stack of this thread has no room for more");
    return false;
}

#else

// Another piece of stack, with a page at its end that must not be touched.
class Piece {
public:
    explicit Piece(size_t bytes) : bytes_(bytes) {
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (memory == MAP_FAILED) return;
        memory_ = static_cast<char*>(memory);
        guard_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        mprotect(memory_, guard_, PROT_NONE);
    }
    ~Piece() {
        if (memory_ != nullptr) munmap(memory_, bytes_);
    }
    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;

    explicit operator bool() const { return memory_ != nullptr; }
    char* end() const { return memory_ + guard_; }
    size_t size() const { return bytes_ - guard_; }

private:
    size_t bytes_;
    char* memory_ = nullptr;
    size_t guard_ = 0;
};

// The address sanitizer is told of each change of the stack.
#if defined(__SANITIZE_ADDRESS__)
void leave(void** frames, const void* lowest, size_t size) {
    __sanitizer_start_switch_fiber(frames, lowest, size);
}
void arrive(void* frames, const void** lowest, size_t* size) {
    __sanitizer_finish_switch_fiber(frames, lowest, size);
}
#else
void leave(void**, const void*, size_t) {}
void arrive(void*, const void**, size_t*) {}
#endif

// What `makecontext` calls: it hands on integers alone.
void begin(unsigned high, unsigned low) {
    const void* lowest = nullptr;
    size_t size = 0;
    arrive(nullptr, &lowest, &size);
    const auto bits = static_cast<uintptr_t>(high) << 32 | static_cast<uintptr_t>(low);
    reinterpret_cast<Call*>(bits)->run();
    leave(nullptr, lowest, size);
}

// Runs a call on another piece of stack; false, with an exception, if there is no memory for one.
bool run_elsewhere(Call* call, size_t bytes) {
    const Piece piece(bytes);
    ucontext_t before, inside;
    if (!piece || getcontext(&inside) != 0) {
        too_deep("there is no memory for more of the stack");
        return false;
    }
    inside.uc_stack.ss_sp = piece.end();
    inside.uc_stack.ss_size = piece.size();
    inside.uc_link = &before;
    const auto bits = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(call));
    makecontext(&inside, reinterpret_cast<void (*)()>(begin), 2, static_cast<unsigned>(bits >> 32),
                static_cast<unsigned>(bits));
    const uintptr_t around = std::exchange(
        tls_short_stack, reinterpret_cast<uintptr_t>(piece.end()) + kNeeded);
    void* frames = nullptr;
    leave(&frames, piece.end(), piece.size());
    const bool ran = swapcontext(&before, &inside) == 0;
    arrive(frames, nullptr, nullptr);
    tls_short_stack = around;
    if (!ran) too_deep("the system gave no other stack");
    return ran;
}

#endif

// _native.with_room(f, *args, **kwargs)
PyObject* with_room(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    if (count == 0) {
        PyErr_SetString(PyExc_TypeError, "with_room: needs a function");
        return nullptr;
    }
    const auto given = static_cast<size_t>(count - 1);
    return has_room() ? PyObject_Vectorcall(args[0], args + 1, given, names)
                      : call_with_more(args[0], args + 1, given, names, kTimesOfOurs);
}

// _native.with_frames(count, f, *args, **kwargs)
PyObject* with_frames(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    const long frames = count < 2 ? -1 : PyLong_AsLong(args[0]);
    if (frames < 0 || frames > INT_MAX / 4) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "with_frames: needs a count and a function");
        }
        return nullptr;
    }
    const MoreFrames more(static_cast<int>(frames), static_cast<int>(frames));
    Call call{args[1], args + 2, static_cast<size_t>(count - 2), names, nullptr};
    const size_t bytes = static_cast<size_t>(frames) * kBytesOfFrame;
    stack_is_short();  // asks where it ends
    const bool ran = here() >= tls_short_stack && here() - tls_short_stack >= bytes
                         ? call.run()
                         : run_elsewhere(&call, std::max(kPiece, bytes + 2 * kNeeded));
    return ran ? call.result : nullptr;
}

PyMethodDef kFunctions[] = {
    {"with_frames", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(with_frames)),
     METH_FASTCALL | METH_KEYWORDS, "Calls a function that has room for so many of Python's frames."},
    {"with_room", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(with_room)),
     METH_FASTCALL | METH_KEYWORDS, "Calls a function that has room on the stack for its frames."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* call_with_more(PyObject* fun, PyObject* const* args, size_t flags, PyObject* names,
                         long times) {
    if (tls_frames > times * Py_GetRecursionLimit()) {
        return too_deep("they take more of Python's frames than they may");
    }
    const MoreFrames more(Py_GetRecursionLimit());
    tls_frames += more.count();
    Call call{fun, args, flags, names, nullptr};
    const bool ran = !stack_is_short() ? call.run() : run_elsewhere(&call, kPiece);
    tls_frames -= more.count();
    return ran ? call.result : nullptr;
}

bool room_init(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace covector
