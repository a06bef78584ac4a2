"""The two intermediate representations, Program and Kernel, and their verifiers."""
