"""The starter problems, as data: see `rrtf.benchmarks.starter`."""
