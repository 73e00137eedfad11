"""A fleet in your account of a cloud, by Coiled: `python storage/dask/cloud.py digits`.

Coiled copies the packages of this environment to the machines. They must reach the database in HPSEARCH_STORAGE. Needs
`pip install '.[postgres,fleet]' coiled`, and `coiled login`.
"""

import sys

import coiled

import hpsearch

WORKERS = 100

if __name__ == "__main__":
    with coiled.Cluster(
        name="hpsearch",
        n_workers=WORKERS,
        worker_cpu=1,
        worker_memory="2 GiB",
        worker_options={"nthreads": 1},
        spot_policy="spot_with_fallback",  # a machine that is taken away loses no trial
    ) as cluster:
        hpsearch.fleet(sys.argv[1], on="dask", scheduler=cluster.scheduler_address, count=WORKERS)
