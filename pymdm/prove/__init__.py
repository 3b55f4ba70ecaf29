"""The statistical proof: exact laws of small models against an implementation's samples, and faults that must be
caught.

`tables` (random small models), `goodness` (tests of a law), `plan` (one error level for a whole run, power, seeds),
`implementation` (what is put to the proof), `tally` and `check_*` (its checks), `checks` (their list), `batch_stream`
and `batch_reference` (the float64 reference over many sequences at once), `faults` (samplers that are broken on
purpose), `run` (the whole proof), `audit` (a user's own sampler function), `distance` (of approximate samplers),
`report` (Markdown and HTML).
"""
