"""Completion text to program, with evidence: which rule fired, or why nothing was found.

Rules, as they stand in `Response.rule` and are counted in manifests:

bare                        the text is a program as it stands
fence                       a closed fenced block; the last one that holds the entry point
fence-unclosed              a block whose closing fence never came (or was a stop string)
fence-nested                from the first to the last fence: the program itself holds fences
fence-other-language        a block labelled as another language
fence-body                  a block that holds only the body of the prompt's function
without-entry-point         code with functions or classes, none of them the one asked for
prose                       code between lines of prose, without fences
outside-fences              code beside fenced blocks that do not hold it
indented                    a whole function, indented as one
continuation                the text goes on where the prompt's code ends
unclosed-thinking+fence     a closed block inside thinking that never ended

`thinking+` in front: thinking was cut away. `+helpers` behind: definitions came from other blocks; `+prompt`: from the prompt, which lends a whole function
all that it says beside the entry point and the answer does not say itself.
`stub:` in front: the entry point's body says nothing. `broken:` in front: the program will not compile; it is given as it is, so that the verdict says so.
`none:empty`, `none:only-thinking`, `none:no-code`, `none:no-entry-point`, `none:no-body`: there is no program, and why.

Left out of a program: prose, repeated definitions, and what stands outside functions without serving the entry point (example calls, prints, asserts,
`if __name__ == "__main__"`). Without an entry point only prose is left out. Not here: running programs (`rrtf.sandbox`), or how
prompts are made (`rrtf.prompting`).
"""

from rrtf.extraction.answer import Extraction, extract

__all__ = ["Extraction", "extract"]
