"""A worker without training, in a process of its own: `python -m tests.contract.trainer URL STUDY COUNT`.

It takes COUNT trials at a time until none is left, and prints how many it has ended.
"""

import sys

from hpsearch.storage.store import open_store
from tests.contract.laboratory import Lab


def main(url: str, name: str, count: int) -> int:
    """Train the study and return the number of trials that this process ended."""
    with open_store(url) as store:
        lab = Lab(store=store, url=url, study=store.studies.get(name))
        ended = 0
        while claims := lab.claim(count):
            lab.assign(claims)
            ended += len(claims) - len(lab.end(claims))
        return ended


if __name__ == "__main__":
    sys.stdout.write(str(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
