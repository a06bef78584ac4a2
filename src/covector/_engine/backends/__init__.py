"""What turns Kernels into code for one kind of device."""
