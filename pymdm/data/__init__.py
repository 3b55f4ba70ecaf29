"""Training and evaluation data: tokenizers, corpora, token files and batches."""
