// CallCache: a hash table from signatures to entries.
#pragma once

#include <vector>

#include "python/objects.h"
#include "dispatch/signature.h"

namespace covector {

struct Plan;

// A signature that was compiled. Reference counted under the GIL: comparing static values runs
// Python code, which may clear the cache.
struct CachedCall {
    int refs = 1;
    uint64_t hash = 0;
    std::vector<uint64_t> words;
    std::vector<PyObject*> objects;  // owned
    PyObject* entry = nullptr;       // owned: an Entry
    const Plan* plan = nullptr;      // inside it

    CachedCall() = default;
    CachedCall(const CachedCall&) = delete;
    CachedCall& operator=(const CachedCall&) = delete;
    void unref();

private:
    ~CachedCall();
};

class CallCache {
public:
    ~CallCache() { clear(); }

    // The entry of this signature, a new reference, and its plan; null without an exception if
    // there is none, or with one. Sets `unhashable` if the signature cannot be in the table.
    PyObject* find(const Signature& signature, const Plan** plan, bool* unhashable);
    // Adds or replaces; false with an exception.
    bool insert(const Signature& signature, PyObject* entry, const Plan* plan);
    void clear();
    const CachedCall* last() const { return last_; }
    size_t size() const { return count_; }
    int traverse(visitproc visit, void* arg) const;

private:
    CachedCall* find_hashed(const Signature& signature, uint64_t hash);
    int compare(CachedCall* call, const Signature& signature);
    void grow();

    std::vector<CachedCall*> table_;  // open addressing; the size is a power of two
    CachedCall* last_ = nullptr;      // of the table: what the previous call used
    size_t count_ = 0;
    uint64_t version_ = 0;            // changes whenever the table does
};

}  // namespace covector
