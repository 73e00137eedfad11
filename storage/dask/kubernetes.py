"""A fleet on Kubernetes, by dask-kubernetes and its operator: `python storage/dask/kubernetes.py digits`.

The image is that of storage/kubernetes/Dockerfile, which has Dask. The pods must reach the database in
HPSEARCH_STORAGE, and so must this machine. Needs `pip install '.[postgres,fleet]' dask-kubernetes`.
"""

import sys

from dask_kubernetes.operator import KubeCluster

import hpsearch

WORKERS = 16

if __name__ == "__main__":
    with KubeCluster(
        name="hpsearch",
        namespace="hpsearch",
        image="registry.example.org/hpsearch:0.2.0",
        n_workers=WORKERS,
        resources={"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        worker_command=["dask", "worker", "--nthreads", "1"],
    ) as cluster:
        hpsearch.fleet(sys.argv[1], on="dask", scheduler=cluster.scheduler_address, count=WORKERS)
