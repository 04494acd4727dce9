"""Benchmarks: measurements that take too long for a test. Run each as a module from the repository root."""
