"""The statistical proof: exact laws of small models against an implementation's samples, and faults that must be
caught.

`tables` (random small models), `goodness` (tests of a law), `plan` (one error level for a whole run, power, seeds),
`implementation` (what is put to the proof), `checks` (the list of checks), `batch_reference` (the float64 reference
over many sequences at once), `faults` (deliberately broken samplers), `run` (the whole proof), `audit` (a user's own
sampler function), `report` (Markdown and HTML).
"""
