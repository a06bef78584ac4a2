"""The CPU backend: LLVM IR text, machine code."""
