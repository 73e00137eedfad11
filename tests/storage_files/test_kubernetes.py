"""The kustomizations, rendered as kustomize would, against Kubernetes' schemas; and Dask's examples."""

import ast
import base64
import copy
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]  # its types are not worth another package

import hpsearch

KUBERNETES: Final = "1.34"

KUSTOMIZATIONS: Final = (".", "study", "keda")

KEYS: Final = {
    *(
        "apiVersion",
        "kind",
        "resources",
        "images",
        "secretGenerator",
        "configMapGenerator",
        "generatorOptions",
    ),
    *("labels", "nameSuffix"),
}
"""The keys of a kustomization that `rendered` understands."""

USERS_FILES: Final = {"secret.env": "HPSEARCH_STORAGE=postgresql://x\n", "study.toml": "name = 'x'\n"}


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    """Return `storage/`."""
    return repository / "storage"


def rendered(folder: Path) -> list[dict[str, Any]]:
    """Return the resources of a kustomization with its images, labels, generated resources and names."""
    (made,) = yaml.safe_load_all((folder / "kustomization.yaml").read_text())
    assert made.keys() <= KEYS
    found = [
        copy.deepcopy(each)
        for name in made["resources"]
        for each in yaml.safe_load_all((folder / name).read_text())
    ]
    for generator in made.get("secretGenerator", ()):
        lines = [line for name in generator["envs"] for line in _text(folder / name).splitlines()]
        data = {
            key: base64.b64encode(value.encode()).decode()
            for key, _, value in (x.partition("=") for x in lines)
        }
        found.append(_generated("Secret", generator["name"], data))
    found += [
        _generated("ConfigMap", generator["name"], {n: _text(folder / n) for n in generator["files"]})
        for generator in made.get("configMapGenerator", ())
    ]
    images = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in made["images"]}
    generated = {each["metadata"]["name"] for each in found if each["kind"] in ("Secret", "ConfigMap")}
    for resource in found:
        for pairs in made["labels"]:
            resource["metadata"].setdefault("labels", {}).update(pairs["pairs"])
        for node in _nodes(resource):
            node.update({"image": images.get(node["image"], node["image"])} if "image" in node else {})
            if node.get("name") in generated:
                node["name"] += made.get("nameSuffix", "")
    return found


def _generated(kind: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": data}


def _text(path: Path) -> str:
    return USERS_FILES.get(path.name) or path.read_text()


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(child)


def as_kubernetes_knows_it(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a resource of KEDA, whose schemas are not Kubernetes', as the Job that it makes; others unchanged."""
    if resource["kind"] != "ScaledJob":
        return resource
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "x"},
        "spec": resource["spec"]["jobTargetRef"],
    }


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_what_a_kustomization_makes_is_valid(folder: Path, name: str) -> None:
    """Every resource keeps to the schema of its kind: no unknown key, no missing one, no wrong type."""
    resources = rendered(folder / "kubernetes" / name)
    assert all(
        resource["metadata"]["labels"]["app.kubernetes.io/part-of"] == "hpsearch" for resource in resources
    )
    for resource in resources:
        if resource["kind"] != "TriggerAuthentication":
            kubernetes_validate.validate(as_kubernetes_knows_it(resource), KUBERNETES, strict=True)
    images = {node["image"] for resource in resources for node in _nodes(resource) if "image" in node}
    assert images <= {"registry.example.org/hpsearch:0.2.0", "postgres:17"}


def test_a_mistake_in_a_resource_is_found(folder: Path) -> None:
    """The test above sees a misspelt key deep inside a resource."""
    deployment = next(r for r in rendered(folder / "kubernetes") if r["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolicie"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolicie"):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


def scaled_job(folder: Path) -> dict[str, Any]:
    """Return KEDA's resource."""
    resources = rendered(folder / "kubernetes/keda")
    return next(resource for resource in resources if resource["kind"] == "ScaledJob")


def test_keda_has_what_it_needs(folder: Path) -> None:
    """The trigger is PostgreSQL's, its password comes from the Secret, and no Job is left over without work."""
    spec = scaled_job(folder)["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "postgresql"
    assert {"host", "port", "userName", "dbName", "sslmode", "query", "targetQueryValue"} == set(
        trigger["metadata"]
    )
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    authentication = next(
        r for r in rendered(folder / "kubernetes/keda") if r["kind"] == "TriggerAuthentication"
    )
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert (spec["minReplicaCount"], spec["scalingStrategy"]["strategy"]) == (0, "default")
    assert spec["jobTargetRef"]["template"]["spec"]["containers"][0]["args"][-1] == "--exit-when-idle"


@pytest.mark.parametrize("name", ["jobqueue.py", "kubernetes.py", "cloud.py"])
def test_examples_of_dask_call_what_there_is(folder: Path, name: str) -> None:
    """Each starts one cluster, and a fleet on its scheduler with arguments that `hpsearch.fleet` has."""
    tree = ast.parse((folder / "dask" / name).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (fleet,) = [call for call in calls if ast.unparse(call.func) == "hpsearch.fleet"]
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in fleet.keywords}
    assert keywords.keys() <= inspect.signature(hpsearch.fleet).parameters.keys()
    assert (keywords["on"], keywords["scheduler"]) == ("'dask'", "cluster.scheduler_address")
    clusters = [ast.unparse(call.func) for call in calls if ast.unparse(call.func).endswith("Cluster")]
    assert clusters in (["SLURMCluster"], ["KubeCluster"], ["coiled.Cluster"])
