"""Folders on a disk: what may be written where, and how nothing is lost on the way."""
