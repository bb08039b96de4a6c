"""What puts a server into a cluster, held to the published schemas, and to the server's own reading of its configuration."""

import base64
import hashlib
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import gotypes_judge
from cosinspect.cli import main
from cosinspect.server.configuration import Mode, parse_configuration
from cosinspect.server.metrics import Metrics
from real_registries import certificate, written

IMAGES = ["--images", "quay.io/org/os*"]
OPTIONS = ["--workloads", "--pin", "--notifications", "--harbor"]
OPERATION = [
    *("--replicas", "3", "--database-secret", "verdicts", "--priority-class", "system-cluster-critical"),
    *(
        "--exclude-namespace",
        "kube-node-lease",
        "--exclude-namespace",
        "rancher",
        "--network-policy",
        "--monitoring",
    ),
]
FOREIGN = ("cert-manager.io/", "monitoring.coreos.com/")


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    status = main(["deploy", *arguments], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


def manifests(*arguments):
    status, out, err = run(*arguments)
    assert status == 0, err
    return [each for each in yaml.safe_load_all(out) if each]


def by_kind(documents):
    return {each["kind"]: each for each in documents}


@pytest.fixture
def authority(tmp_path):
    return str(written(tmp_path, "ca", certificate("ca", authority=True))[1])


@pytest.mark.parametrize("version", ["1.25", "1.29", "1.34"])
@pytest.mark.parametrize(
    "options", [(), tuple(OPTIONS), ("--pull-secret", "creds", "--mode", "enforce"), tuple(OPERATION)]
)
def test_the_published_schemas_take_every_object(version, options):
    documents = manifests("kubernetes", *IMAGES, *options)

    own = [each for each in documents if not each["apiVersion"].startswith(FOREIGN)]
    for document in own:
        kubernetes_validate.validate(document, version, strict=True)
    foreign = {each["kind"] for each in documents} - {each["kind"] for each in own}
    assert foreign - {"ServiceMonitor", "PrometheusRule"} == {"Issuer", "Certificate"}


@pytest.mark.parametrize(
    "options", [each for count in range(3) for each in itertools.combinations(OPTIONS, count)]
)
def test_the_server_reads_its_configuration(options, tmp_path):
    found = by_kind(
        manifests("kubernetes", *IMAGES, "--images", "ghcr.io/*/os", "--mode", "enforce", *options)
    )

    text = found["ConfigMap"]["data"]["server.toml"]
    mounts = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    for mount in mounts:  # what the configuration names is mounted
        (tmp_path / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    for name in ("tls/tls.crt", "tls/tls.key", "notifications/token", "harbor/token"):
        if (tmp_path / name).parent.is_dir():
            (tmp_path / name).touch()
    configuration = parse_configuration(text.replace('"/', f'"{tmp_path}/'), directory=tmp_path)
    assert [(rule.registries, rule.repositories, rule.mode) for rule in configuration.rules] == [
        (("quay.io",), ("org/os*",), Mode.ENFORCE),
        (("ghcr.io",), ("*/os",), Mode.ENFORCE),
        (("*",), ("*",), Mode.SKIP),
    ]
    assert (configuration.notifications is not None) is ("--notifications" in options)
    assert (configuration.harbor is not None) is ("--harbor" in options)
    assert ("MutatingWebhookConfiguration" in found) is ("--pin" in options)


def test_a_changed_configuration_replaces_the_pods():
    """The checksum is that of the very text that the ConfigMap has, so nothing else replaces them."""
    sums = []
    for options in ([], ["--mode", "enforce"], ["--memory", "3Gi"]):
        found = by_kind(manifests("kubernetes", *IMAGES, *options))
        (told,) = found["Deployment"]["spec"]["template"]["metadata"]["annotations"].values()
        text = found["ConfigMap"]["data"]["server.toml"]
        assert told == hashlib.sha256(text.encode()).hexdigest()
        sums.append(told)
    assert sums[0] == sums[2] != sums[1]


def test_several_replicas_share_verdicts_and_no_volume():
    found = by_kind(manifests("kubernetes", *IMAGES, "--images", "registry.example:5000/os/*", *OPERATION))

    deployment = found["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (3, "RollingUpdate")
    assert "PersistentVolumeClaim" not in found
    assert {"name": "state", "emptyDir": {"sizeLimit": "10Gi"}} in pod["volumes"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "verdicts"}}]
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert 'database = "postgresql://"' in found["ConfigMap"]["data"]["server.toml"]
    labels = deployment["template"]["metadata"]["labels"]
    for kind in ("PodDisruptionBudget", "ServiceMonitor"):
        assert found[kind]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert found["Service"]["metadata"]["labels"].items() <= labels.items()
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ports = [port["port"] for rule in found["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, 443, 5000, 5432]
    (expression,) = found["ValidatingWebhookConfiguration"]["webhooks"][0]["namespaceSelector"][
        "matchExpressions"
    ]
    assert expression["values"] == ["kube-system", "cosinspect", "kube-node-lease", "rancher"]


def _rules(*options):
    return by_kind(manifests("kubernetes", *IMAGES, "--monitoring", *options))["PrometheusRule"]["spec"]


def test_alerts_are_about_metrics_that_the_server_has():
    text = "\n".join(rule["expr"] for group in _rules()["groups"] for rule in group["rules"])
    metrics = {
        line.split()[2] for line in Metrics().text().decode().splitlines() if line.startswith("# TYPE")
    }

    named = set(re.findall(r"cosinspect_\w+", text))

    assert named
    assert named <= metrics


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_takes_the_alerts_and_fires_them(tmp_path):
    """promtool judges: the rules parse, and each fires on values that a server in trouble exposes, and on no others."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(_rules()))
    own = 'job="cosinspect", namespace="cosinspect", pod="a"'
    series = {
        f"up{{{own}}}": ("1x60", "0x60", "CosinspectDown"),
        f"cosinspect_configuration_reload_failed{{{own}}}": (
            "0x60",
            "1x60",
            "CosinspectConfigurationRefused",
        ),
        f"cosinspect_certificate_expiry_timestamp_seconds{{{own}}}": (
            "99999999x90",
            "600000x90",
            "CosinspectCertificateExpires",
        ),
        f"cosinspect_queue_age_seconds{{{own}}}": ("3x60", "300x60", "CosinspectQueueIsLong"),
        f'cosinspect_registry_errors_total{{{own}, host="quay.io", error="NotFound"}}': (
            "7x60",
            "0+5x60",
            "CosinspectRegistryFails",
        ),
    }
    tests = []
    for trouble in (False, True):
        input_series = [
            {"series": name, "values": f"{bad if trouble else good} "}
            for name, (good, bad, _) in series.items()
        ]
        alerts = [
            {
                "eval_time": "85m" if "Certificate" in alert else "30m",
                "alertname": alert,
                "exp_alerts": [_expected(alert)] if trouble else [],
            }
            for _, _, alert in series.values()
        ]
        tests.append({"interval": "1m", "input_series": input_series, "alert_rule_test": alerts})
    (tmp_path / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )

    for arguments in (["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]):
        done = subprocess.run(
            ["promtool", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "lint error" not in done.stdout + done.stderr


def _expected(name):
    (rule,) = (rule for group in _rules()["groups"] for rule in group["rules"] if rule["alert"] == name)
    labels = {"namespace": "cosinspect", "pod": "a"}
    if name == "CosinspectRegistryFails":
        labels = {"namespace": "cosinspect", "host": "quay.io"}
    if name == "CosinspectDown":
        labels = {}  # there is nothing that could have labels
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": rule["annotations"]}


@pytest.mark.modules
def test_the_operator_of_prometheus_takes_its_objects(tmp_path):
    program = tmp_path / "monitoring"
    source = Path(__file__).parents[1] / "server/monitoring"
    subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True)
    found = by_kind(manifests("kubernetes", *IMAGES, "--monitoring"))
    documents = [found["ServiceMonitor"], found["PrometheusRule"], {**found["ServiceMonitor"], "specs": {}}]

    done = subprocess.run(
        [program],
        input="".join(json.dumps(each) + "\n" for each in documents),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["ok", "ok", 'json: unknown field "specs"']


def test_systemd_takes_the_unit(tmp_path):
    program = Path(sys.executable).with_name("cosinspect")
    text = run(
        "systemd", "--program", str(program), "--config", "/etc/cosinspect/a.toml", "--memory", "512Mi"
    )[1]
    (tmp_path / "cosinspect.service").write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "cosinspect.service"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Type=notify\n" in text
    assert f"ExecStart={program} serve --config /etc/cosinspect/a.toml\n" in text
    assert "MemoryMax=512M\n" in text
    (tmp_path / "cosinspect.service").write_text(text.replace("StateDirectory=", "StateDirektory="))
    wrong = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "cosinspect.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "StateDirektory" in wrong.stderr


def test_the_webhook_waits_for_nobody_s_self():
    found = by_kind(manifests("kubernetes", *IMAGES, "--namespace", "guards"))

    (webhook,) = found["ValidatingWebhookConfiguration"]["webhooks"]
    (expression,) = webhook["namespaceSelector"]["matchExpressions"]
    assert expression["operator"] == "NotIn"
    assert set(expression["values"]) == {"kube-system", "guards"}
    assert webhook["clientConfig"]["service"]["path"] == "/admission"
    assert found["Certificate"]["spec"]["dnsNames"][0] == "cosinspect.guards.svc"
    assert found["Certificate"]["spec"]["secretName"] == "cosinspect-tls"


def test_a_certificate_of_one_s_own(authority):
    found = by_kind(manifests("kubernetes", *IMAGES, "--no-cert-manager", "--ca-bundle", authority))

    (webhook,) = found["ValidatingWebhookConfiguration"]["webhooks"]
    assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == Path(authority).read_bytes()
    assert "Certificate" not in found
    kubernetes_validate.validate(found["ValidatingWebhookConfiguration"], "1.29", strict=True)


def test_gatekeeper_is_told_whom_to_ask(authority):
    provider, template, constraint = manifests(
        "gatekeeper", "--ca-bundle", authority, "--mode", "enforce", "--stage", "all"
    )

    assert provider["spec"]["url"] == "https://cosinspect.cosinspect.svc/gatekeeper"
    assert template["spec"]["crd"]["spec"]["names"]["kind"] == constraint["kind"]
    assert constraint["spec"]["enforcementAction"] == "deny"


@pytest.mark.modules
def test_gatekeeper_s_own_types_and_opa_take_it(authority):
    provider, template = manifests("gatekeeper", "--ca-bundle", authority)
    (target,) = template["spec"]["targets"]

    assert gotypes_judge.verdicts([("manifest", provider), ("rego", target["rego"])]) == ["ok", "ok"]
    assert gotypes_judge.verdicts([("rego", target["rego"].replace("{", "", 1))]) != ["ok"]


def test_harbor_is_told_of_the_scanner(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")

    told = json.loads(run("harbor", "--token-file", str(tmp_path / "token"))[1])

    assert told["url"] == "https://cosinspect.cosinspect.svc/scanner"
    assert (told["auth"], told["access_credential"]) == ("Bearer", "s3cret")


@pytest.mark.parametrize(
    "arguments",
    [
        ["kubernetes"],
        ["kubernetes", "--images", "os"],
        ["kubernetes", "--images", 'quay.io/a"\nmode = "skip'],
        ["kubernetes", *IMAGES, "--name", "a\nkind: Secret"],
        ["kubernetes", *IMAGES, "--namespace", "Upper"],
        ["kubernetes", *IMAGES, "--image", "a b"],
        ["kubernetes", *IMAGES, "--storage", "much"],
        ["kubernetes", *IMAGES, "--memory", "1Gi}"],
        ["kubernetes", *IMAGES, "--pull-secret", "a: b"],
        ["kubernetes", *IMAGES, "--no-cert-manager"],
        ["kubernetes", *IMAGES, "--replicas", "2"],
        ["kubernetes", *IMAGES, "--replicas", "0"],
        ["kubernetes", *IMAGES, "--database-secret", "a b"],
        ["kubernetes", *IMAGES, "--exclude-namespace", "a, b"],
        ["kubernetes", *IMAGES, "--priority-class", "a: b"],
        ["systemd", "--program", "cosinspect"],
        ["systemd", "--config", "/a b"],
        ["systemd", "--memory", "1G\nUser=root"],
        ["gatekeeper"],
        ["elsewhere"],
    ],
)
def test_nothing_is_made_of_what_kubernetes_would_not_take(arguments):
    status, out, err = run(*arguments)

    assert (status, out) == (2, "")
    assert err.count("\n") == 1


def test_a_key_is_no_bundle(tmp_path):
    key, _ = written(tmp_path, "ca", certificate("ca", authority=True))

    assert run("gatekeeper", "--ca-bundle", str(key))[0] == 2
