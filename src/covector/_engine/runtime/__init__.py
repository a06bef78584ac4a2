"""Arrays, devices, executables and their caches."""
