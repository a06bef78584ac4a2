"""NumPy: what primitives, scalars, routines and whole Kernels mean, and a backend made of it."""
