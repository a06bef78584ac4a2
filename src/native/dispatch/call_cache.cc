// CallCache.
#include "dispatch/call_cache.h"

#include <cstring>

namespace covector {
namespace {

enum Comparison { kRaised = -1, kDiffers, kSame, kTableChanged };

inline bool same_words(const CachedCall* call, const Signature& signature) {
    const size_t count = signature.words.size();
    return call->words.size() == count &&
           std::memcmp(call->words.data(), signature.words.data(), count * sizeof(uint64_t)) == 0 &&
           call->objects.size() == signature.objects.size();
}

inline bool same_objects(const CachedCall* call, const Signature& signature) {
    for (size_t i = 0; i < call->objects.size(); ++i) {
        if (call->objects[i] != signature.objects[i]) return false;
    }
    return true;
}

// Whether two static values are known to be the same without a hash, and without running Python
// code: tuples of numbers and names, such as the form of an index. False says nothing.
bool known_equal(PyObject* a, PyObject* b, int depth) {
    if (a == b) return true;
    if (Py_TYPE(a) != Py_TYPE(b) || depth > 8) return false;
    if (PyLong_CheckExact(a)) return PyObject_RichCompareBool(a, b, Py_EQ) == 1;
    if (PyUnicode_CheckExact(a)) return PyUnicode_Compare(a, b) == 0;
    if (!PyTuple_CheckExact(a) || PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(a); ++i) {
        if (!known_equal(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i), depth + 1)) return false;
    }
    return true;
}

bool equal_objects(const CachedCall* call, const Signature& signature) {
    for (size_t i = 0; i < call->objects.size(); ++i) {
        if (!known_equal(call->objects[i], signature.objects[i], 0)) return false;
    }
    return true;
}

}  // namespace

CachedCall::~CachedCall() {
    for (PyObject* object : objects) Py_DECREF(object);
    Py_XDECREF(entry);
}

void CachedCall::unref() {
    if (--refs == 0) delete this;
}

// Compares equal words' objects by value; that runs Python code.
int CallCache::compare(CachedCall* call, const Signature& signature) {
    const uint64_t version = version_;
    ++call->refs;
    int result = kSame;
    for (size_t i = 0; i < call->objects.size() && result == kSame; ++i) {
        result = same_static(call->objects[i], signature.objects[i]);
    }
    call->unref();
    return version == version_ || result == kRaised ? result : int{kTableChanged};
}

PyObject* CallCache::find(const Signature& signature, const Plan** plan, bool* unhashable) {
    if (CV_LIKELY(last_ != nullptr && same_words(last_, signature) &&
                  (same_objects(last_, signature) || equal_objects(last_, signature)))) {
        *plan = last_->plan;
        return Py_NewRef(last_->entry);
    }
    uint64_t hash = 0;
    if (count_ == 0 && signature.objects.size() == 0) return nullptr;
    if (!signature.hash(&hash)) {
        *unhashable = !PyErr_Occurred();
        return nullptr;
    }
    const CachedCall* call = count_ == 0 ? nullptr : find_hashed(signature, hash);
    if (call == nullptr) return nullptr;
    *plan = call->plan;
    return Py_NewRef(call->entry);
}

// What it returns is the table's, and good until Python code runs.
CachedCall* CallCache::find_hashed(const Signature& signature, uint64_t hash) {
    for (int attempt = 0; attempt < 8; ++attempt) {  // again if Python code changed the table
        const size_t mask = table_.size() - 1;
        bool changed = false;
        for (size_t at = hash & mask; table_.size() > 0 && table_[at] != nullptr && !changed;
             at = (at + 1) & mask) {
            CachedCall* call = table_[at];
            if (call->hash != hash || !same_words(call, signature)) continue;
            const int result =
                same_objects(call, signature) ? int{kSame} : compare(call, signature);
            if (result == kRaised) return nullptr;
            if (result == kSame) return last_ = call;
            changed = result == kTableChanged;
        }
        if (!changed) return nullptr;
        if (count_ == 0) return nullptr;
    }
    return nullptr;
}

bool CallCache::insert(const Signature& signature, PyObject* entry, const Plan* plan) {
    uint64_t hash = 0;
    if (!signature.hash(&hash)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "a static argument lost its hash");
        return false;
    }
    CachedCall* existing = count_ == 0 ? nullptr : find_hashed(signature, hash);
    if (existing != nullptr) {  // another thread compiled the same; the last one wins
        existing->plan = plan;
        Ref old(std::exchange(existing->entry, Py_NewRef(entry)));
        return true;
    }
    if (PyErr_Occurred()) return false;
    auto* call = new CachedCall;
    call->hash = hash;
    call->words.assign(signature.words.data(), signature.words.data() + signature.words.size());
    call->objects.assign(signature.objects.data(),
                         signature.objects.data() + signature.objects.size());
    for (PyObject* object : call->objects) Py_INCREF(object);
    call->entry = Py_NewRef(entry);
    call->plan = plan;
    if ((count_ + 1) * 2 > table_.size()) grow();
    size_t at = hash & (table_.size() - 1);
    while (table_[at] != nullptr) at = (at + 1) & (table_.size() - 1);
    table_[at] = call;
    last_ = call;
    ++count_;
    ++version_;
    return true;
}

void CallCache::grow() {
    std::vector<CachedCall*> bigger(table_.empty() ? 8 : table_.size() * 2);
    for (CachedCall* call : table_) {
        if (call == nullptr) continue;
        size_t at = call->hash & (bigger.size() - 1);
        while (bigger[at] != nullptr) at = (at + 1) & (bigger.size() - 1);
        bigger[at] = call;
    }
    table_.swap(bigger);
}

void CallCache::clear() {
    std::vector<CachedCall*> old;
    old.swap(table_);
    last_ = nullptr;
    count_ = 0;
    ++version_;
    for (CachedCall* call : old) {
        if (call != nullptr) call->unref();
    }
}

int CallCache::traverse(visitproc visit, void* arg) const {
    for (const CachedCall* call : table_) {
        if (call == nullptr) continue;
        for (PyObject* object : call->objects) Py_VISIT(object);
        Py_VISIT(call->entry);
    }
    return 0;
}

}  // namespace covector
