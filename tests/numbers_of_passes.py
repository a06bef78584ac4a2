"""The numbers in compiler and rules that are not of a machine, each with what it is: for the architecture test."""

# Numbers of modules that decide nothing about a machine, each with its reason. What a machine decides is a field of
# `Target` (backends/base.py), with the figure that chose it, so that passes run for other machines.
NUMBERS = {
    ("compile/arena", "ALIGNMENT"): "of the ABI: what routines and vectors may count on",
    ("compile/arena", "CHUNK"): "of a data structure: what comes out is the same with any other",
    ("compile/elements", "DEEPEST"): "how deep Python's stack may get",
    ("compile/fuse", "ALONE"): "more than any limit",
    ("compile/survey", "TICKS"): "a unit: costs in whole numbers",
    ("compile/unroll", "MADE"): "a mark: no input has this number",
    ("control/unwind", "MANY_SLOTS"): "how much memory a gradient may take is the same everywhere",
    ("control/unwind", "MANY_BYTES"): "how much memory a gradient may take is the same everywhere",
    ("control/unwind", "KEPT_BYTES"): "how much memory a gradient may take is the same everywhere",
    ("primitives/conv", "AXES"): "of the ABI: the spatial axes of the routine of convolutions",
    (
        "primitives/conv",
        "FEW_FEATURES",
    ): "of the ABI: fewer columns than the routine's tiles are for",
    (
        "primitives/window",
        "FEW_PLACES",
    ): "of a data structure: what is written out, and what is done axis by axis",
    ("primitives/laws", "_GROUP"): "of a data structure: what comes out is the same with any other",
    ("primitives/bits", "PARITY"): "of threefry's definition",
    ("primitives/scatter", "_MOST_COMPONENTS"): "of the routine's signature",
    ("primitives/scatter", "_MANY"): "both ways are equally quick, so nothing depends on it",
}
