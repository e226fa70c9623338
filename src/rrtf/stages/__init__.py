"""The verbs: one thin file each, read in the order of `rrtf.pipeline`. Stages never import one another; they meet through artefacts on disk."""
