"""Growing a corpus: from seed problems to harder ones (paper, section 3.3).

`guided` changes a problem together with its reference and needs no model. Not here: which problems are fit to learn from (`rrtf.quality`), and which overlap
with benchmarks (`rrtf.overlap`).
"""
