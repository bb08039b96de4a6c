"""What puts a server into a cluster, held to the published schemas, and to the server's own reading of its configuration."""

import base64
import io
import itertools
import json
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import gotypes_judge
from cosinspect.cli import main
from cosinspect.server.configuration import Mode, parse_configuration
from real_registries import certificate, written

IMAGES = ["--images", "quay.io/org/os*"]
OPTIONS = ["--workloads", "--pin", "--notifications", "--harbor"]


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
@pytest.mark.parametrize("options", [(), tuple(OPTIONS), ("--pull-secret", "creds", "--mode", "enforce")])
def test_the_published_schemas_take_every_object(version, options):
    documents = manifests("kubernetes", *IMAGES, *options)

    own = [each for each in documents if not each["apiVersion"].startswith("cert-manager.io/")]
    for document in own:
        kubernetes_validate.validate(document, version, strict=True)
    assert {each["kind"] for each in documents} - {each["kind"] for each in own} == {"Issuer", "Certificate"}


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
