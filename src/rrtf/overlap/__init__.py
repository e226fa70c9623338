"""Problems that are there twice: nearly equal ones within a set (`duplicates`), and those that a benchmark holds too (`leaks`), by words, by syntax tree and
by running.

Not here: whether a problem by itself is fit to learn from (`rrtf.quality`).
"""
