"""What a task is and what may happen to it: values and pure functions, no I/O, no clock."""
