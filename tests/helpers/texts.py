"""Texts that several tests train on."""

CAT = "the cat sat on the mat and the dog sat on the cat. a bird saw them both and flew over the mat.\n\n" * 3
