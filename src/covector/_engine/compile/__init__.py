"""The compiler: Program to Kernel."""
