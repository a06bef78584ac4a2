// The Python type of a kind of level, from a class that begins with a Level and has
//   kKind, kName, kDoc, kMethods and kAttributes  (these two of its own)
//   bool begin(args, keywords)   reads what it is made with; false with an exception
//   int traverse(visit, arg)     the objects of its own
//   void drop()                  gives them up
//   void end()                   frees the rest; also after a `begin` that failed
#pragma once

#include <string>
#include <vector>

#include "dispatch/levels.h"

namespace covector {

template <typename T>
class LevelType {
public:
    static bool init(PyObject* module) {
        static std::vector<PyMethodDef> methods(T::kMethods);
        methods.insert(methods.end(), {kLevelClose, {nullptr, nullptr, 0, nullptr}});
        static std::vector<PyGetSetDef> attributes(T::kAttributes);
        attributes.insert(attributes.end(), {kLevelParent, kLevelOuter,
                                             {nullptr, nullptr, nullptr, nullptr, nullptr}});
        PyType_Slot slots[] = {
            {Py_tp_new, reinterpret_cast<void*>(make)},
            {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
            {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
            {Py_tp_clear, reinterpret_cast<void*>(clear)},
            {Py_tp_methods, methods.data()},
            {Py_tp_getset, attributes.data()},
            {Py_tp_doc, const_cast<char*>(T::kDoc)},
            {0, nullptr},
        };
        const std::string name = std::string("covector._engine._native.") + T::kName;
        PyType_Spec spec = {name.c_str(), sizeof(T), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                            slots};
        Ref type(PyType_FromSpec(&spec));
        if (!type || PyModule_AddObjectRef(module, T::kName, type.get()) < 0) return false;
        register_level_type(T::kKind, type.get());
        return true;
    }

private:
    static T* self(PyObject* object) { return reinterpret_cast<T*>(object); }

    static PyObject* make(PyTypeObject* type, PyObject* args, PyObject* keywords) {
        Ref object(type->tp_alloc(type, 0));
        if (!object || !self(object.get())->begin(args, keywords)) return nullptr;
        level_begin(as_level(object.get()), T::kKind);
        return object.release();
    }

    static int traverse(PyObject* object, visitproc visit, void* arg) {
        Py_VISIT(Py_TYPE(object));
        Py_VISIT(as_level(object)->outer);
        return self(object)->traverse(visit, arg);
    }

    static int clear(PyObject* object) {
        level_end(as_level(object));
        self(object)->drop();
        return 0;
    }

    static void dealloc(PyObject* object) {
        PyTypeObject* type = Py_TYPE(object);
        PyObject_GC_UnTrack(object);
        clear(object);
        self(object)->end();
        type->tp_free(object);
        Py_DECREF(type);
    }
};

}  // namespace covector
