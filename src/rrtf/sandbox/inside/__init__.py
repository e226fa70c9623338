"""What runs on the inside: a stdlib-only fork server and the code around each program.

These modules are started by path in a fresh interpreter (`rrtf.sandbox.worker`), under another package name and without the rest of `rrtf`, so they import
nothing but the standard library and one another. Reading order: `server` (one worker's life), `isolate` with `view` and `landlock` (what it is cut off
from), `supervise` (one program's life, seen from above), `zygote` (what programs are forks of), `confine` (what a program inherits and gives up), `runner`
(the program and its tests), `encode` (values in and out). Not here: expected values, comparisons, verdicts.
"""
