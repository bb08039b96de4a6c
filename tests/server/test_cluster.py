"""What `deploy kubernetes` prints, in a real control plane: kube-apiserver and etcd take it, and ask the server about each object.

The kinds are those of system-upgrade-controller, elemental-operator and kairos-operator, their schemas written anew after the
types of those projects. What is expected of an object is what its controller runs.
"""

import io
import json
import shutil

import pytest
import yaml

import cluster as control
from cosinspect.cli import main
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from real_registries import certificate, written
from serving import serving

TEXT = {"type": "string"}
CONTAINER = {
    "type": "object",
    "required": ["image"],
    "properties": {"image": TEXT, "command": {"type": "array", "items": TEXT}},
}
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SCHEMAS = {
    ("upgrade.cattle.io", "v1", "Plan", "plans"): {
        **dict.fromkeys(("version", "channel", "serviceAccountName"), TEXT),
        "concurrency": {"type": "integer"},
        "upgrade": CONTAINER,
        "prepare": CONTAINER,
    },
    ("elemental.cattle.io", "v1beta1", "ManagedOSImage", "managedosimages"): {
        "osImage": TEXT,
        "managedOSVersionName": TEXT,
        "upgradeContainer": CONTAINER,
        "prepare": CONTAINER,
        "cloudConfig": ANYTHING,
    },
    ("elemental.cattle.io", "v1beta1", "ManagedOSVersion", "managedosversions"): {
        "version": TEXT,
        "type": TEXT,
        "metadata": ANYTHING,
        "upgradeContainer": CONTAINER,
    },
    ("elemental.cattle.io", "v1beta1", "ManagedOSVersionChannel", "managedosversionchannels"): {
        "type": TEXT,
        "options": ANYTHING,
        "upgradeContainer": CONTAINER,
    },
    ("elemental.cattle.io", "v1beta1", "SeedImage", "seedimages"): {
        "baseImage": TEXT,
        "type": TEXT,
        "registrationRef": ANYTHING,
    },
    ("elemental.cattle.io", "v1beta1", "MachineRegistration", "machineregistrations"): {"config": ANYTHING},
    ("operator.kairos.io", "v1alpha1", "NodeOp", "nodeops"): {"image": TEXT},
    ("operator.kairos.io", "v1alpha1", "NodeOpUpgrade", "nodeopupgrades"): {"image": TEXT},
    ("build.kairos.io", "v1alpha2", "OSArtifact", "osartifacts"): {"image": ANYTHING, "artifacts": ANYTHING},
}
PATHS = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
} | {kind: f"/apis/{group}/{version}/namespaces/{{}}/{plural}" for group, version, kind, plural in SCHEMAS}
VERSIONS = {kind: f"{group}/{version}" for group, version, kind, _ in SCHEMAS} | {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet"), "apps/v1"),
    **dict.fromkeys(("Job", "CronJob"), "batch/v1"),
    **dict.fromkeys(("Pod", "ConfigMap"), "v1"),
}


def definitions():
    for (group, version, kind, plural), spec in SCHEMAS.items():
        schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                "versions": [
                    {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        }


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A cluster that has what `deploy` prints, with the server behind the service, and a registry."""
    if not shutil.which("etcd"):
        pytest.skip("etcd is not installed: apt-get install etcd-server")
    directory = tmp_path_factory.mktemp("cluster")
    name = "cosinspect.cosinspect.svc"
    key, chain = written(directory, "tls", certificate(name))
    with control.cluster(directory) as cluster, Registry() as registry:
        host = registry.push(derivative(), "org/os:good").partition("/")[0]
        out, err = io.StringIO(), io.StringIO()
        arguments = ["kubernetes", "--images", f"{host}/org/*", "--mode", "enforce", "--profile", "cos"]
        further = ["--workloads", "--pin", "--no-cert-manager", "--ca-bundle", str(chain)]
        assert main(["deploy", *arguments, *further], stdout=out, stderr=err) == 0, err.getvalue()
        manifest = out.getvalue()
        text = next(
            each["data"]["server.toml"]
            for each in yaml.safe_load_all(manifest)
            if each["kind"] == "ConfigMap" and "server.toml" in each["data"]
        )
        rules = text[text.index("[[rules]]") :]
        listen = f'certificate = "{chain.name}"\nkey = "{key.name}"'
        with serving(directory, rules, listen=listen, address="0.0.0.0:0") as server:
            applied = cluster.kubectl("apply", "-f", "-", text=manifest)
            cluster.kubectl(
                "apply", "-f", "-", text="---\n".join(yaml.safe_dump(each) for each in definitions())
            )
            cluster.kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=600s")
            for namespace in ("fleet", "other"):
                cluster.kubectl("create", "namespace", namespace)
            point(cluster, int(server.url.rpartition(":")[2]))
            yield cluster, registry, server, applied


def point(cluster, port):
    """Have the service lead to the server, as the endpoints of its pod would."""
    address = control.address()
    cluster.kubectl(
        "apply",
        "-f",
        "-",
        text=json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"name": "cosinspect", "namespace": "cosinspect"},
                "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port}]}],
            }
        ),
    )
    cluster.kubectl(
        "apply",
        "-f",
        "-",
        text=json.dumps(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "metadata": {
                    "name": "cosinspect-1",
                    "namespace": "cosinspect",
                    "labels": {"kubernetes.io/service-name": "cosinspect"},
                },
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ),
    )


def pod(*images, **further):
    return {
        "restartPolicy": "Never",
        "containers": [{"name": f"c{number}", "image": image} for number, image in enumerate(images)],
        **further,
    }


def workload(kind, image):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod(image)}
    if kind == "Job":
        return {"template": template}
    if kind == "CronJob":
        return {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": template}}}
    del template["spec"]["restartPolicy"]
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {**spec, "serviceName": "a"} if kind == "StatefulSet" else spec


def made(number, kind, spec, namespace="fleet", **metadata):
    return {
        "apiVersion": VERSIONS[kind],
        "kind": kind,
        "metadata": {"name": f"o{number}", "namespace": namespace, **metadata},
        **({"spec": spec} if kind != "ConfigMap" else {"data": {}}),
    }


def objects(good, bad, repository, foreign):
    """Kind, spec, whether it gets in, and what is kept of the image where that differs from what was written."""
    pinned = "@sha256:"
    channel = {"channel": "https://example.org/latest"}
    return [
        ("Plan", {"upgrade": {"image": repository}, "version": "good"}, True, pinned),
        ("Plan", {"upgrade": {"image": repository}, "version": "bad"}, False, ""),
        ("Plan", {"upgrade": {"image": bad}, "version": "good"}, False, ""),
        ("Plan", {"upgrade": {"image": good}, "version": "bad"}, True, pinned),
        ("Plan", {"upgrade": {"image": repository}, "version": "good", **channel}, True, pinned),
        ("Plan", {"upgrade": {"image": repository}, **channel}, False, ""),
        ("Plan", {"upgrade": {"image": repository}}, False, ""),
        ("Plan", {"upgrade": {"image": good}, "prepare": {"image": bad}}, False, ""),
        ("Plan", {"upgrade": {"image": good}, "prepare": {"image": good}}, True, pinned),
        ("Plan", {"upgrade": {"image": "rancher/k3s-upgrade"}, "version": "v1.34.1+k3s1"}, True, ""),
        ("Plan", {"upgrade": {"image": "rancher/rke2-upgrade"}, **channel}, True, ""),
        ("Plan", {"upgrade": {"image": foreign}, "prepare": {"image": bad}}, False, ""),
        ("ManagedOSImage", {"osImage": good}, True, ""),
        ("ManagedOSImage", {"osImage": bad}, False, ""),
        ("ManagedOSImage", {"osImage": bad, "upgradeContainer": {"image": good}}, True, ""),
        ("ManagedOSImage", {"osImage": good, "upgradeContainer": {"image": bad}}, False, ""),
        ("ManagedOSImage", {"osImage": good, "upgradeContainer": {"image": repository}}, True, ""),
        ("ManagedOSImage", {"osImage": good, "prepare": {"image": bad}}, False, ""),
        ("ManagedOSImage", {"managedOSVersionName": "v1"}, True, ""),
        ("ManagedOSImage", {"osImage": foreign}, True, ""),
        ("ManagedOSVersion", {"type": "container", "metadata": {"upgradeImage": good}}, True, ""),
        ("ManagedOSVersion", {"type": "container", "metadata": {"upgradeImage": bad}}, False, ""),
        ("ManagedOSVersion", {"type": "iso", "metadata": {"uri": "https://a.example/os.iso"}}, True, ""),
        ("ManagedOSVersionChannel", {"type": "custom", "options": {"image": foreign}}, True, ""),
        ("ManagedOSVersionChannel", {"type": "custom", "upgradeContainer": {"image": bad}}, False, ""),
        ("ManagedOSVersionChannel", {"type": "custom", "upgradeContainer": {"image": good}}, True, pinned),
        ("OSArtifact", {"image": {"ref": good}}, True, ""),
        ("OSArtifact", {"image": {"ref": bad}}, False, ""),
        ("OSArtifact", {"image": {"buildOptions": {"version": "v1", "baseImage": bad}}}, True, ""),
        ("SeedImage", {"type": "iso", "baseImage": "https://a.example/os.iso"}, True, ""),
        ("SeedImage", {"type": "iso", "baseImage": bad}, True, ""),
        ("SeedImage", {"type": "raw", "baseImage": bad}, False, ""),
        ("SeedImage", {"type": "raw", "baseImage": good}, True, ""),
        ("MachineRegistration", {"config": {"elemental": {"install": {"device": "/dev/sda"}}}}, True, ""),
        ("MachineRegistration", _registered(f"oci:{bad}"), False, ""),
        ("MachineRegistration", _registered(f"oci:{good}"), True, ""),
        ("NodeOp", {"image": good}, True, pinned),
        ("NodeOp", {"image": bad}, False, ""),
        ("NodeOpUpgrade", {"image": bad}, False, ""),
        ("NodeOpUpgrade", {"image": good}, True, pinned),
        ("Pod", pod(good), True, pinned),
        ("Pod", pod(bad), False, ""),
        ("Pod", pod(foreign), True, ""),
        ("Pod", pod(foreign, bad), False, ""),
        ("Pod", pod(good, initContainers=[{"name": "i", "image": bad}]), False, ""),
        *((kind, workload(kind, bad), False, "") for kind in ("Deployment", "StatefulSet", "DaemonSet")),
        *((kind, workload(kind, bad), False, "") for kind in ("Job", "CronJob")),
        ("Deployment", workload("Deployment", good), True, pinned),
        ("CronJob", workload("CronJob", good), True, pinned),
        ("ConfigMap", {}, True, ""),
    ]


def _registered(uri):
    return {"config": {"elemental": {"install": {"system-uri": uri}}}}


@pytest.fixture(scope="module")
def names(scene):
    _, registry, _, _ = scene
    good = registry.push(derivative(), "org/os:good")
    bad = registry.push(derivative("kernel-dangling"), "org/os:bad")
    return good, bad, good.rpartition(":")[0], "registry.example/other/tool:v1"


def create(cluster, document):
    """Create an object; where the image is not decided yet, as often as a controller would."""
    path = PATHS[document["kind"]].format(document["metadata"]["namespace"])
    for _ in range(20):
        answer = cluster.ask("POST", path, document)
        if answer.status_code != 503 and "try again" not in answer.text:
            return answer
    return answer


@pytest.mark.modules
def test_the_api_server_takes_what_is_printed(scene):
    _, _, _, applied = scene

    assert "validatingwebhookconfiguration" in applied
    assert "mutatingwebhookconfiguration" in applied


@pytest.mark.modules
def test_objects_get_in_by_the_image_that_their_controllers_run(scene, names):
    cluster, _, _, _ = scene
    wrong = []
    cases = objects(*names)
    for number, (kind, spec, admitted, kept) in enumerate(cases):
        answer = create(cluster, made(number, kind, spec))
        if (answer.status_code == 201) is not admitted or (
            not admitted and "denied the request" not in answer.text
        ):
            wrong.append((kind, spec, answer.status_code, answer.text[:300]))
        elif admitted and kind != "ConfigMap" and (kept in json.dumps(answer.json()["spec"])) is not True:
            wrong.append((kind, spec, "not pinned", answer.json()["spec"]))
        elif (
            admitted
            and kind.startswith("ManagedOS")
            and answer.json()["spec"].get("osImage") != spec.get("osImage")
        ):
            wrong.append((kind, spec, "rewritten", answer.json()["spec"]))
    assert wrong == []
    assert len(cases) >= 40


@pytest.mark.modules
def test_updates_and_deletions_are_not_held_up(scene, names):
    cluster, _, _, _ = scene
    good, bad, _, _ = names
    document = made("update", "Plan", {"upgrade": {"image": good}}, finalizers=["a.example/b"])
    path = PATHS["Plan"].format("fleet")
    assert create(cluster, document).status_code == 201
    one = f"{path}/oupdate"
    merge = {"headers": {"Content-Type": "application/merge-patch+json"}}
    labelled = cluster.ask("PATCH", one, {"metadata": {"labels": {"a": "b"}}}, **merge)
    assert labelled.status_code == 200, labelled.text
    changed = cluster.ask("PATCH", one, {"spec": {"upgrade": {"image": bad}}}, **merge)
    assert changed.status_code == 403, changed.text
    assert cluster.ask("DELETE", one).status_code == 200
    freed = cluster.ask("PATCH", one, {"metadata": {"finalizers": None}}, **merge)
    assert freed.status_code == 200, freed.text
    assert cluster.ask("GET", one).status_code == 404
    # What waits for nobody's self: the server's own namespace and kube-system.
    assert create(cluster, made("own", "Pod", pod(bad), "kube-system")).status_code == 201
    assert create(cluster, made("own", "Pod", pod(bad), "cosinspect")).status_code == 201


@pytest.mark.modules
def test_a_hostile_object_is_answered_at_once(scene, names):
    """Objects that are large, deep, or name very many images do not hold up the API server."""
    cluster, _, _, _ = scene
    good, _, _, _ = names
    many = {"config": {"elemental": {"list": [{}] * 200_000}}}
    answer = cluster.ask(
        "POST", PATHS["MachineRegistration"].format("fleet"), made("many", "MachineRegistration", many)
    )
    assert answer.status_code == 201, answer.text[:300]
    assert answer.elapsed.total_seconds() < 10
    crowd = pod(*[f"registry.example/a/b:{number}" for number in range(300)])
    assert "at most 200 images" in create(cluster, made("crowd", "Pod", crowd)).text
    assert create(cluster, made("after", "NodeOp", {"image": good})).status_code == 201
