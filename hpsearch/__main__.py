"""Run the command `hpsearch` as `python -m hpsearch`."""

from hpsearch.cli.main import run

if __name__ == "__main__":
    run()
