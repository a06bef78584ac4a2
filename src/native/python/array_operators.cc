// Array: the arithmetic and comparison operators, which call the functions given by set_operators.
#include "python/array.h"
#include "python/array_protocol.h"
#include "python/numpy_bridge.h"
#include "python/state.h"

namespace covector {
namespace {

// What may stand beside an array: another one, a Python or NumPy number or array, a tracer.
bool accepts(PyObject* other) {
    if (is_array(other) || PyFloat_CheckExact(other) || PyLong_CheckExact(other)) return true;
    if (g_hooks.tracer != nullptr &&
        PyObject_TypeCheck(other, reinterpret_cast<PyTypeObject*>(g_hooks.tracer))) {
        return true;
    }
    return PyBool_Check(other) || PyComplex_Check(other) || PyLong_Check(other) ||
           PyFloat_Check(other) || is_ndarray(other) || is_numpy_scalar(other);
}

bool is_container(PyObject* other) {
    return PyList_Check(other) || PyTuple_Check(other) || PyDict_Check(other) ||
           PyAnySet_Check(other);
}

// A new reference: the function may be replaced while it runs. Null with an exception.
PyObject* operator_function(Operator op) {
    if (CV_UNLIKELY(g_operators[op] == nullptr)) {
        PyErr_Format(PyExc_RuntimeError,
                     "the operator '%s' is not set; import covector, not its native module alone",
                     kOperatorNames[op]);
    }
    return Py_XNewRef(g_operators[op]);
}

// For an operand of another library, which may stand for an array.
CV_NOINLINE PyObject* call_with_other(Operator op, PyObject* a, PyObject* b);

PyObject* call_binary(Operator op, PyObject* a, PyObject* b) {
    if (CV_UNLIKELY(!accepts(a) || !accepts(b))) return call_with_other(op, a, b);
    const Ref function(operator_function(op));
    if (!function) return nullptr;
    PyObject* args[] = {nullptr, a, b};
    return PyObject_Vectorcall(function.get(), args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               nullptr);
}

PyObject* call_with_other(Operator op, PyObject* a, PyObject* b) {
    Ref found[2];
    PyObject* operands[] = {a, b};
    for (int i = 0; i < 2; ++i) {
        if (accepts(operands[i])) continue;
        if (!stands_for_array(operands[i])) Py_RETURN_NOTIMPLEMENTED;
        found[i] = Ref(array_it_stands_for(operands[i]));
        if (!found[i]) return nullptr;
        operands[i] = found[i].get();
        if (!accepts(operands[i])) Py_RETURN_NOTIMPLEMENTED;
    }
    return call_binary(op, operands[0], operands[1]);
}

template <Operator op>
PyObject* binary(PyObject* a, PyObject* b) {
    return call_binary(op, a, b);
}

template <Operator op>
PyObject* unary(PyObject* a) {
    const Ref function(operator_function(op));
    if (!function) return nullptr;
    PyObject* args[] = {nullptr, a};
    return PyObject_Vectorcall(function.get(), args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               nullptr);
}

PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) {
    if (modulus != Py_None) {
        PyErr_SetString(PyExc_TypeError, "pow() of an array takes no third argument");
        return nullptr;
    }
    return call_binary(kPower, a, b);
}

template <auto function>
void* slot() {
    return reinterpret_cast<void*>(function);
}

}  // namespace

PyObject* array_richcompare(PyObject* a, PyObject* b, int operation) {
    static constexpr Operator kComparison[] = {kLess,     kLessEqual, kEqual,
                                               kNotEqual, kGreater,   kGreaterEqual};
    static_assert(Py_LT == 0 && Py_LE == 1 && Py_EQ == 2 && Py_NE == 3 && Py_GT == 4 && Py_GE == 5);
    // Python would answer "not equal" by identity, where a reader expects the elements compared.
    if (CV_UNLIKELY((operation == Py_EQ || operation == Py_NE) && is_container(b))) {
        return PyErr_Format(PyExc_TypeError,
                            "'%s' of an Array and a %s: make it an array with "
                            "covector.numpy.asarray, and then compare",
                            operation == Py_EQ ? "==" : "!=", Py_TYPE(b)->tp_name);
    }
    return call_binary(kComparison[operation], a, b);
}

PyType_Slot kNumberSlots[] = {
    {Py_nb_add, slot<binary<kAdd>>()},
    {Py_nb_subtract, slot<binary<kSubtract>>()},
    {Py_nb_multiply, slot<binary<kMultiply>>()},
    {Py_nb_true_divide, slot<binary<kTrueDivide>>()},
    {Py_nb_floor_divide, slot<binary<kFloorDivide>>()},
    {Py_nb_remainder, slot<binary<kRemainder>>()},
    {Py_nb_divmod, slot<binary<kDivmod>>()},
    {Py_nb_power, slot<power>()},
    {Py_nb_matrix_multiply, slot<binary<kMatmul>>()},
    {Py_nb_negative, slot<unary<kNegative>>()},
    {Py_nb_positive, slot<unary<kPositive>>()},
    {Py_nb_absolute, slot<unary<kAbsolute>>()},
    {Py_nb_invert, slot<unary<kInvert>>()},
    {Py_nb_and, slot<binary<kAnd>>()},
    {Py_nb_or, slot<binary<kOr>>()},
    {Py_nb_xor, slot<binary<kXor>>()},
    {Py_nb_lshift, slot<binary<kLshift>>()},
    {Py_nb_rshift, slot<binary<kRshift>>()},
    {0, nullptr},
};

}  // namespace covector
