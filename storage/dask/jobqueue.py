"""A fleet on a batch cluster, by dask-jobqueue: `python storage/dask/jobqueue.py digits`.

`SLURMCluster` may be `PBSCluster`, `LSFCluster`, `SGECluster` or another class of dask_jobqueue. The jobs must reach
this machine, where the scheduler runs, and the database in HPSEARCH_STORAGE. Needs `pip install '.[postgres,fleet]'
dask-jobqueue` in an environment that all nodes share.
"""

import sys

from dask_jobqueue import SLURMCluster

import hpsearch

WORKERS = 64

if __name__ == "__main__":
    with SLURMCluster(
        cores=1,
        processes=1,
        memory="1GB",
        walltime="04:00:00",
        # Dask closes its workers in order five minutes before the time limit, and ours hand their trials back.
        worker_extra_args=["--lifetime", "235m", "--lifetime-stagger", "2m"],
    ) as cluster:
        cluster.adapt(minimum_jobs=0, maximum_jobs=WORKERS)
        hpsearch.fleet(
            sys.argv[1], on="dask", scheduler=cluster.scheduler_address, minimum=0, maximum=WORKERS
        )
