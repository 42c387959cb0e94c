"""What a sample must not repeat: benchmarks, data that exists, other samples; by letters and by meaning."""
