"""The modelling file that `pymdm export --to transformers` puts beside the weights."""
