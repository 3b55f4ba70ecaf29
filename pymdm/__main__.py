"""`python -m pymdm` is the `pymdm` command."""

from pymdm.cli import main

if __name__ == "__main__":
    main()
