"""`python -m hpsearch` is the command `hpsearch`."""

from hpsearch.cli.main import run

if __name__ == "__main__":
    run()
