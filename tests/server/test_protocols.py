"""Each protocol over real HTTP: what a cluster or a registry sends, and what it is told."""

import base64
import hashlib
import json

import pytest

import gotypes_judge
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.auth import BasicAuth
from serving import REQUESTS, review, serving

FURTHER = """
[notifications]
[harbor]
[[kinds]]
group = "example.org"
kind = "Machine"
images = ["$.spec.os.*"]
[[rules]]
registries = ["127.0.0.1:*"]
repositories = ["watched/*"]
mode = "warn"
[[rules]]
registries = ["127.0.0.1:*"]
namespaces = ["kube-*"]
mode = "skip"
[[rules]]
registries = ["absent.example"]
mode = "skip"
"""


@pytest.fixture(scope="module")
def registry():
    with Registry() as running:
        yield running


@pytest.fixture(scope="module")
def names(registry):
    return {
        "good": registry.push(derivative(), "org/os:good"),
        "bad": registry.push(derivative("kernel-dangling"), "org/os:bad"),
        "watched": registry.push(derivative("kernel-dangling"), "watched/os:v1"),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), further=FURTHER) as running:
        yield running


def _digest(registry, name):
    return f"sha256:{hashlib.sha256(registry.read(name)).hexdigest()}"


# -- admission ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Pod", "ManagedOSImage", "Plan"])
def test_an_image_that_passes_is_admitted(server, names, kind):
    response = server.review(review(kind, names["good"]))

    assert response["allowed"] is True
    assert f"{names['good']}=pass" in response["auditAnnotations"]["images"]


@pytest.mark.parametrize("kind", ["Pod", "ManagedOSImage", "Plan"])
def test_one_that_fails_is_refused_and_the_reason_said(server, names, kind):
    response = server.review(review(kind, names["bad"]))

    assert response["allowed"] is False
    assert response["status"]["code"] == 403
    assert "COS011 kernel-link-dangling" in response["status"]["message"]


def test_where_a_rule_warns_it_is_admitted_with_the_reason(server, names):
    response = server.review(review("Pod", names["watched"]))

    assert response["allowed"] is True
    assert "COS011" in response["warnings"][0]
    assert len(response["warnings"][0]) <= 256


def test_the_first_rule_that_fits_counts(server, names):
    response = server.review(review("Pod", names["bad"], namespace="kube-system"))

    assert response == {
        "uid": response["uid"],
        "allowed": True,
        "auditAnnotations": response["auditAnnotations"],
    }
    assert "skipped" in response["auditAnnotations"]["images"]


def test_an_image_of_which_no_rule_speaks_is_refused(server):
    response = server.review(review("Pod", "quay.io/org/os:v1"))

    assert response["allowed"] is False
    assert "no rule matches it" in response["status"]["message"]


def test_a_kind_of_which_nothing_is_known_is_refused(server):
    document = review("Pod", "quay.io/org/os:v1")
    document["request"]["kind"] = {"group": "other.example", "version": "v1", "kind": "Thing"}

    response = server.review(document)

    assert response["allowed"] is False
    assert "add it under kinds" in response["status"]["message"]


def test_a_kind_that_the_configuration_tells_of_is_looked_into(server, names):
    document = review("Pod", "")
    document["request"]["kind"] = {"group": "example.org", "version": "v1", "kind": "Machine"}
    document["request"]["object"]["spec"] = {"os": {"first": names["good"], "second": names["bad"]}}

    response = server.review(document)

    assert response["allowed"] is False
    assert "1 of 2 images" in response["status"]["message"]


def _channel(image):
    document = review("Plan", "a.example/b:c")
    document["request"]["object"]["spec"] = {
        "upgrade": {"image": image},
        "channel": "https://example.org/latest",
    }
    return document


def test_a_plan_that_follows_a_channel_is_decided_by_the_rule_of_its_repository(server, names):
    repository = names["good"].rpartition(":")[0]
    refused = server.review(_channel(repository))
    assert refused["allowed"] is False
    assert "its tag comes from the channel https://example.org/latest" in refused["status"]["message"]

    warned = server.review(_channel(names["watched"].rpartition(":")[0]))
    assert warned["allowed"] is True
    assert "comes from the channel" in warned["warnings"][0]

    assert server.review(_channel("absent.example/k3s/upgrade"))["allowed"] is True


def test_a_plan_whose_image_has_a_tag_of_its_own_is_judged_by_that(server, names):
    document = review("Plan", names["good"])
    document["request"]["object"]["spec"] = {"upgrade": {"image": names["bad"]}, "version": "good"}

    assert server.review(document)["allowed"] is False


def test_every_container_of_a_plan_is_judged(server, names):
    document = review("Plan", names["good"])
    document["request"]["object"]["spec"]["prepare"] = {"image": names["bad"]}

    assert server.review(document)["allowed"] is False


def test_other_spellings_of_a_registry_are_the_same_registry(server):
    for host in ("absent.example", "ABSENT.example", "absent.example:443", "absent.example:0443"):
        response = server.review(review("Pod", f"{host}/org/os:v1"))
        assert response["allowed"] is True, host


def test_an_iso_is_not_judged_as_an_operating_system(server):
    document = review("ManagedOSImage", "a")
    document["request"]["kind"]["kind"] = "SeedImage"
    document["request"]["object"]["spec"] = {"baseImage": "https://example.org/os.iso"}

    response = server.review(document)

    assert response["allowed"] is True
    assert "carries an ISO" in response["warnings"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "DELETE", "object": None},
        {"operation": "CONNECT"},
        {"subResource": "eviction", "kind": {"group": "policy", "version": "v1", "kind": "Eviction"}},
        {
            "subResource": "scale",
            "operation": "UPDATE",
            "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        },
    ],
)
def test_what_brings_no_image_is_admitted(server, names, change):
    document = review("Pod", names["bad"])
    document["request"] |= change

    assert server.review(document)["allowed"] is True


def test_an_ephemeral_container_is_judged(server, names):
    document = review("Pod", names["good"], operation="UPDATE", before={"spec": {}})
    document["request"]["subResource"] = "ephemeralcontainers"
    document["request"]["object"]["spec"]["ephemeralContainers"] = [{"image": names["bad"]}]

    assert server.review(document)["allowed"] is False


def test_an_operation_that_the_api_server_does_not_have_is_refused(server, names):
    document = review("Pod", names["bad"], operation="create")

    answer = server.post("/admission", document)

    assert answer.status_code == 400
    assert "expected one of the operations CREATE, UPDATE, DELETE, CONNECT, found 'create'" in answer.text


def test_what_is_being_deleted_can_be_changed(server, names):
    document = review("Pod", names["bad"], operation="UPDATE", before={})
    document["request"]["object"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert server.review(document)["allowed"] is True


def test_an_object_that_is_created_as_if_it_were_being_deleted_is_judged(server, names):
    document = review("Pod", names["bad"])
    document["request"]["object"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert server.review(document)["allowed"] is False


def test_an_update_that_brings_no_image_passes_whatever_the_object_has(server):
    document = review("Pod", "")
    document["request"]["object"]["spec"] = {"containers": [{"image": 5}]}
    document["request"] |= {
        "operation": "UPDATE",
        "oldObject": {**document["request"]["object"], "metadata": {}},
    }

    assert server.review(document)["allowed"] is True


def test_an_update_is_judged_by_what_it_changes(server, names):
    old = review("Pod", names["bad"])["request"]["object"]

    assert server.review(review("Pod", names["bad"], operation="UPDATE", before=old))["allowed"] is True
    old = review("Pod", names["good"])["request"]["object"]
    assert server.review(review("Pod", names["bad"], operation="UPDATE", before=old))["allowed"] is False


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"containers": [{"image": 5}]}, "expected the name of an image, found a number"),
        ({"containers": [{"image": "not a name"}]}, "expected"),
        ({"containers": [{"image": f"a.example/b:{n}"} for n in range(300)]}, "at most 200 images"),
    ],
)
def test_an_object_that_names_nonsense_is_refused(server, spec, told):
    document = review("Pod", "")
    document["request"]["object"]["spec"] = spec

    response = server.review(document)

    assert response["allowed"] is False
    assert told in response["status"]["message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "expected an AdmissionReview"),
        (b"[" * 100_000, "expected an AdmissionReview"),
        (b'{"apiVersion": "v1", "kind": "Pod"}', "expected an AdmissionReview"),
        (json.dumps({**review("Pod", "a"), "apiVersion": "admission.k8s.io/v1beta1"}).encode(), "v1beta1"),
    ],
)
def test_what_is_no_review_is_refused(server, body, told):
    answer = server.post("/admission", body)

    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]


def test_what_is_too_large_is_refused(server):
    assert server.post("/admission", b" " * (9 << 20)).status_code == 413


@pytest.mark.parametrize("timeout", ["soon", "10", "-1s", "0s", "1s1", "9999h", "1e3s"])
def test_a_timeout_that_is_none_is_refused(server, names, timeout):
    assert server.post(f"/admission?timeout={timeout}", review("Pod", names["good"])).status_code == 400


def test_tags_are_pinned_to_what_was_checked(server, registry, names):
    response = server.review(review("Pod", names["good"]), "/mutate?timeout=600s")

    (change,) = json.loads(base64.b64decode(response["patch"]))
    assert response["patchType"] == "JSONPatch"
    assert change["op"] == "replace"
    assert change["path"] == "/spec/containers/0/image"
    assert change["value"] == f"{names['good']}@{_digest(registry, 'org/os:good')}"
    again = server.review(review("Pod", change["value"]), "/mutate?timeout=600s")
    assert again["allowed"] is True
    assert "patch" not in again


def test_a_plan_is_pinned_where_its_image_stands_and_keeps_its_version(server, registry, names):
    response = server.review(review("Plan", names["good"]), "/mutate?timeout=600s")

    (operation,) = json.loads(base64.b64decode(response["patch"]))
    repository = names["good"].rpartition(":")[0]
    assert operation == {
        "op": "replace",
        "path": "/spec/upgrade/image",
        "value": f"{repository}@{_digest(registry, 'org/os:good')}",
    }


def test_what_the_operator_would_split_is_never_pinned(server, names):
    response = server.review(review("ManagedOSImage", names["good"]), "/mutate?timeout=600s")

    assert response["allowed"] is True
    assert "patch" not in response
    assert "splits the name at its first colon" in response["warnings"][0]


def test_what_fails_is_not_pinned(server, names):
    assert "patch" not in server.review(review("Pod", names["watched"]), "/mutate?timeout=600s")
    assert server.review(review("Pod", names["bad"]), "/mutate?timeout=600s")["allowed"] is False


# -- the types of Kubernetes and Gatekeeper --------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["pod", "deployment", "plan", "managedosimage", "delete"])
@pytest.mark.parametrize("tag", ["good", "bad"])
def test_requests_by_the_published_types_are_understood(server, names, case, tag):
    document = _by_types(case, names[tag])

    assert server.review(document)["allowed"] is (tag == "good" or case == "delete")


def _by_types(case, name):
    repository, _, tag = name.rpartition(":")
    text = json.dumps(REQUESTS[case]).replace("registry.example/org/first:v1", "absent.example/first:v1")
    text = text.replace("registry.example/org/os:v1", name).replace("registry.example/org/os", repository)
    document = json.loads(text)
    if case == "plan":
        document["request"]["object"]["spec"]["version"] = tag
    return document


@pytest.mark.modules
def test_the_requests_are_what_the_types_write():
    assert gotypes_judge.requests() == REQUESTS


@pytest.mark.modules
def test_the_types_take_every_answer(server, names):
    cases = ("pod", "deployment", "plan", "managedosimage", "delete")
    asked = [
        ("admission", server.post(path, _by_types(case, names[tag])).json())
        for path in ("/admission", "/mutate")
        for case in cases
        for tag in ("good", "bad", "watched")
    ]
    for path in ("/gatekeeper", "/gatekeeper/pin"):
        body = _provider([*names.values(), "quay.io/x/y", "not a name"])
        asked.append(("provider", server.post(path, body).json()))

    assert gotypes_judge.verdicts(asked) == ["ok"] * len(asked)


# -- Gatekeeper --------------------------------------------------------------------------------------------------------


def _provider(keys):
    document = json.loads(json.dumps(REQUESTS["provider"]))
    document["request"]["keys"] = keys
    return document


def _decided(server, path, keys):
    """Ask until nothing is pending: Gatekeeper waits for 2 s."""

    def ask():
        response = server.post(path, _provider(keys)).json()["response"]
        pending = [item for item in response["items"] if item.get("value", {}).get("standing") == "pending"]
        return None if pending else response

    return server.until(ask)


def test_gatekeeper_is_told_of_each_image(server, names):
    keys = [names["good"], names["bad"], "quay.io/org/os:v1", "not a name"]

    response = _decided(server, "/gatekeeper", keys)

    good, bad, unmatched, nonsense = response["items"]
    assert response["idempotent"] is True
    assert keys == [each["key"] for each in response["items"]]
    assert (good["value"]["admitted"], good["value"]["standing"]) == (True, "pass")
    assert (bad["value"]["admitted"], bad["value"]["standing"]) == (False, "fail")
    assert "COS011" in bad["value"]["message"]
    assert "no rule" in unmatched["error"]
    assert nonsense["error"]


def test_gatekeeper_can_pin(server, names):
    keys = [names["good"], names["bad"]]

    _decided(server, "/gatekeeper", keys)
    good, bad = server.post("/gatekeeper/pin", _provider(keys)).json()["response"]["items"]

    assert good["value"].startswith(f"{names['good']}@sha256:")
    assert "COS011" in bad["error"]


def test_what_gatekeeper_would_not_send_is_refused(server):
    assert server.post("/gatekeeper", {**_provider(["a"]), "kind": "Other"}).status_code == 400
    assert server.post("/gatekeeper", _provider(["a"] * 501)).status_code == 400


# -- registries ----------------------------------------------------------------------------------------------------------


def _event(name, digest, **changes):
    host, _, path = name.partition("/")
    event = {
        "id": "320678d8",
        "timestamp": "2026-01-01T00:00:00Z",
        "action": "push",
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": 708,
            "repository": path.partition(":")[0],
            "url": f"http://{host}/v2/",
            "tag": "v1",
        },
        "request": {"id": "6df24a34", "addr": "192.168.64.11:42961", "host": host, "method": "PUT"},
        "actor": {},
        "source": {"addr": "registry:5000"},
    }
    event |= changes
    return event


def test_what_is_pushed_is_inspected_before_anybody_asks(server, registry):
    name = registry.push(derivative("kernel-removed"), "pushed/os:v1")
    digest = _digest(registry, "pushed/os:v1")
    events = [_event(name, digest)] * 3
    before = server.counted("cosinspect_inspections_total", verdict="fail")

    answer = server.post(
        "/notifications",
        {"events": events},
        headers={"Content-Type": "application/vnd.docker.distribution.events.v2+json"},
    )

    assert answer.status_code == 202
    server.until(lambda: server.counted("cosinspect_inspections_total", verdict="fail") > before)
    seen = len(registry.requests)
    response = server.review(review("Pod", f"{name.rpartition(':')[0]}@{digest}"))
    assert response["allowed"] is False
    assert seen == len(registry.requests), "the verdict was only looked up"
    assert server.counted("cosinspect_inspections_total", verdict="fail") == before + 1


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ("no event", "malformed"),
        ({"action": "push"}, "malformed"),
        (_event("127.0.0.1:1/org/os", "sha256:short"), "malformed"),
        (_event("127.0.0.1:1/org/os", "sha256:" + "0" * 64, action="pull"), "uninteresting"),
        (_event("elsewhere.example/org/os", "sha256:" + "0" * 64), "unmatched"),
    ],
)
def test_events_that_are_worth_nothing_are_taken_all_the_same(server, event, outcome):
    before = server.counted("cosinspect_notifications_total", outcome=outcome)

    assert server.post("/notifications", {"events": [event]}).status_code == 202
    assert server.counted("cosinspect_notifications_total", outcome=outcome) == before + 1


def test_an_envelope_that_is_none_is_refused(server):
    assert server.post("/notifications", b"{}").status_code == 400


def test_protocols_without_a_table_are_not_spoken_and_tokens_are_asked_for(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    with serving(tmp_path, further='[notifications]\ntoken_file = "token"') as server:
        body = {"events": []}
        assert server.post("/notifications", body).status_code == 401
        assert server.post("/notifications", body, headers={"Authorization": "Bearer no"}).status_code == 401
        assert (
            server.post("/notifications", body, headers={"Authorization": "Bearer s3cret"}).status_code == 202
        )
        assert server.get("/scanner/api/v1/metadata").status_code == 404


# -- Harbor --------------------------------------------------------------------------------------------------------------


def _scan(name, digest, authorization=None):
    host, _, path = name.partition("/")
    return {
        "registry": {"url": f"http://{host}", "authorization": authorization},
        "artifact": {
            "repository": path.rpartition(":")[0],
            "digest": digest,
            "tag": "v1",
            "mime_type": "application/vnd.oci.image.manifest.v1+json",
        },
        "enabled_capabilities": [{"type": "vulnerability"}],
    }


def test_harbor_is_told_what_is_scanned(server):
    answer = server.get("/scanner/api/v1/metadata")

    assert answer.headers["content-type"].startswith("application/vnd.scanner.adapter.metadata+json")
    assert answer.json()["scanner"]["name"] == "cosinspect"
    assert (
        "application/vnd.security.vulnerability.report; version=1.1"
        in (answer.json()["capabilities"][0]["produces_mime_types"])
    )


def test_harbor_gets_findings_with_the_credentials_that_it_sends(server):
    credentials = "Basic " + base64.b64encode(b"robot$scan:s3cret").decode()
    with Registry(auth=BasicAuth("robot$scan", "s3cret")) as registry:
        name = registry.push(derivative("kernel-dangling"), "guarded/os:v1")
        digest = _digest(registry, "guarded/os:v1")
        taken = server.post("/scanner/api/v1/scan", _scan(name, digest, credentials))
        assert taken.status_code == 202, taken.text
        path = f"/scanner/api/v1/scan/{taken.json()['id']}/report"

        def finished():
            answer = server.get(path, allow_redirects=False)
            assert answer.status_code in (200, 302), answer.text
            assert answer.status_code == 200 or int(answer.headers["Refresh-After"]) > 0
            return answer if answer.status_code == 200 else None

        report = server.until(finished).json()
    assert report["severity"] == "Critical"
    assert report["artifact"]["digest"] == digest
    (found,) = report["vulnerabilities"]
    assert (found["id"], found["package"]) == ("COS011", f"/boot/vmlinuz@{digest}")
    assert found["severity"] == "Critical"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"registry": {"url": "ftp://a"}}, 422),
        ({"registry": {"url": "https://user@host"}}, 422),
        ({"registry": {"url": "https://elsewhere.example"}}, 422),
        ({"registry": 5}, 400),
    ],
)
def test_a_scan_that_cannot_be_is_refused(server, change, status):
    body = _scan("127.0.0.1:1/org/os:v1", "sha256:" + "0" * 64) | change

    answer = server.post("/scanner/api/v1/scan", body)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_scan_that_is_not_known_is_not_found(server):
    assert server.get("/scanner/api/v1/scan/other/report").status_code == 404
    assert server.get("/scanner/api/v1/scan/sha256-00.0000/report").status_code == 404


# -- reports ---------------------------------------------------------------------------------------------------------------


def test_a_report_is_given_by_its_digest(server, registry, names):
    server.review(review("Pod", names["bad"]))
    digest = _digest(registry, "org/os:bad")

    answer = server.get(f"/reports/{digest}")
    page = server.get(f"/reports/{digest}", headers={"Accept": "text/html,*/*"})

    assert answer.json()["verdict"] == "fail"
    assert answer.json()["schema"] == "cosinspect.report/1"
    assert page.headers["content-type"].startswith("text/html")
    assert "kernel-link-dangling" in page.text
    assert server.get("/reports/sha256:" + "0" * 64).status_code == 404
    assert server.get("/reports/none").status_code == 400


def test_it_says_that_it_lives(server):
    assert server.get("/healthz").json() == {"status": "ok"}
    assert server.get("/readyz").status_code == 200
    assert server.get("/admission").status_code == 405
    assert server.get("/nothing").status_code == 404
