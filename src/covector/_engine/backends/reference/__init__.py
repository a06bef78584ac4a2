"""NumPy: what primitives, scalars and whole Kernels mean, and a backend made of it."""
