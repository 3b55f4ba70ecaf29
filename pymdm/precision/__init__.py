"""The precision lab: what coarse random numbers do to samples, in theory and in experiment.

Zheng et al., ICLR 2025, section 5.
"""
