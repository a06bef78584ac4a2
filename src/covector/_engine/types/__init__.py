"""What is known of a value before it is computed: dtype, dimensions, shape, placement."""
