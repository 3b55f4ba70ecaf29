"""The slow float64 oracle of pymdm: every formula written out once in numpy, never importing the compiled extension.

One file per idea: `philox` (cipher and addresses), `uniform`, `gumbel` (bits to noise), `choose`, `schedule`,
`first_hitting`, `ancestral` (samplers, one sequence at a time), `forward` (the transformer), `truncated` (Proposition
5.2), `laws` (exact laws by enumeration). It is the oracle of every test, and it ships.
"""
