"""rrtf makes a code model better from tests and teachers, and proves it (RRTF, arXiv 2307.14936)."""
