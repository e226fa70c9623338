"""Growing a corpus: from seed problems to harder ones (paper, section 3.3).

Not here: which problems are fit to learn from (`rrtf.quality`), overlap with benchmarks (`rrtf.overlap`), problems of a repository (`rrtf.mining`).
"""
