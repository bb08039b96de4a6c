"""Challenges read, and token flows driven by hand: no input or output."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import AccessDenied
from cosinspect.sources.config.credential import Credential, FoundCredential
from cosinspect.sources.registry.auth import Authenticator, Challenge, TokenAnswer, Url, parse_challenges

REALM = "https://auth.example/token"
CHALLENGE = f'Bearer realm="{REALM}",service="registry.example",scope="repository:org/os:pull"'
ALICE = Credential("alice", "s3cret-password")


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def authenticator(credential=None, *, problem=None, registry="https://registry.example", clock=None):
    return Authenticator(
        registry=Url.parse(registry),
        host="registry.example",
        repository="org/os",
        where="registry.example/org/os:v1",
        lookup=lambda: FoundCredential(credential, problem),
        clock=clock or Clock(),
    )


def drive(flow, *answers):
    """Send the answers in; give the requests that came out and what the flow came to."""
    asked = []
    waiting = list(answers)
    try:
        asked.append(next(flow))
        while True:
            asked.append(flow.send(waiting.pop(0)))
    except StopIteration as end:
        assert not waiting
        return asked, end.value


def granted(token="t0ken", **more):
    return TokenAnswer(200, json.dumps({"token": token, **more}).encode())


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", ()),
        ("Basic", (Challenge("basic"),)),
        ('Basic realm="a, b"', (Challenge("basic", {"realm": "a, b"}),)),
        ('BEARER Realm = "https://x/y?z=1" ,\tSERVICE=s', (Challenge("bearer", {"realm": "https://x/y?z=1", "service": "s"}),)),
        (r'Basic realm="say \"hi\""', (Challenge("basic", {"realm": 'say "hi"'}),)),
        ("Bearer realm=https://x/token,service=s", (Challenge("bearer", {"realm": "https://x/token", "service": "s"}),)),
        (
            'Negotiate YIIabc==, Basic realm="r", Bearer realm="https://x",scope="repository:a:pull,push"',
            (
                Challenge("negotiate"),
                Challenge("basic", {"realm": "r"}),
                Challenge("bearer", {"realm": "https://x", "scope": "repository:a:pull,push"}),
            ),
        ),
        ("Basic, Negotiate , Bearer realm=r", (Challenge("basic"), Challenge("negotiate"), Challenge("bearer", {"realm": "r"}))),
        ('Bearer realm="https://x",realm="https://evil"', (Challenge("bearer", {"realm": "https://x"}),)),
        ('Bearer realm="unfinished', (Challenge("bearer"),)),
        ('realm="no scheme"', (Challenge("realm"),)),
    ],
)  # fmt: skip
def test_challenges_are_read_as_rfc_9110_has_them(header, challenges):
    assert parse_challenges(header) == challenges


@given(st.one_of(st.text(), st.text(alphabet='Bearer realm="\\,= \t', max_size=200)))
@settings(deadline=None, max_examples=300)
def test_any_header_is_read_without_an_error(header):
    assert all(challenge.scheme for challenge in parse_challenges(header))


def test_a_header_of_many_challenges_is_bounded():
    assert len(parse_challenges("a," * 30_000)) == 16


@pytest.mark.parametrize(
    "text",
    [
        "",
        "auth.example/token",
        "//auth.example/token",
        "ftp://auth.example/",
        "file:///etc/passwd",
        "https://",
        "https://user:password@auth.example/",
        "https://registry.example\\@evil.example/",
        "https://auth.example:port/",
        "https://auth.example:0/",
        "https://auth.example/a b",
        "https://auth.example/\r\nX: y",
        "https://[::1/",
        "https://b\u00fccher.example/",
    ],
)
def test_what_is_no_plain_url_is_none(text):
    assert Url.parse(text) is None


def test_a_url_shows_its_host_only():
    url = Url.parse("HTTPS://CDN.example:8443/blob?X-Signature=abc#here")

    assert str(url) == "https://cdn.example:8443"
    assert "abc" not in repr(url)
    assert url.text == "https://CDN.example:8443/blob?X-Signature=abc"
    assert url.origin == ("https", "cdn.example", 8443)
    assert Url.parse("https://[::1]/").origin == ("https", "::1", 443)


def test_a_token_is_asked_for_without_credentials_where_there_are_none():
    (request,), authorization = drive(authenticator().answer(CHALLENGE, None), granted())

    assert request.authorization is None
    assert request.form is None
    assert request.url.origin == ("https", "auth.example", 443)
    assert parse_qs(urlsplit(request.url.text).query) == {
        "service": ["registry.example"],
        "scope": ["repository:org/os:pull"],
    }
    assert (authorization.header, authorization.fresh) == ("Bearer t0ken", True)


def test_the_users_credentials_go_to_the_token_server():
    (request,), _ = drive(authenticator(ALICE).answer(CHALLENGE, None), granted())

    assert request.authorization == "Basic " + base64.b64encode(b"alice:s3cret-password").decode()


def test_a_scope_is_made_up_where_none_is_given_and_a_query_of_the_realm_is_kept():
    challenge = f'Bearer realm="{REALM}?tenant=7"'
    (request,), _ = drive(authenticator().answer(challenge, None), granted())

    assert parse_qsl(urlsplit(request.url.text).query) == [
        ("tenant", "7"),
        ("scope", "repository:org/os:pull"),
    ]


def test_several_scopes_are_asked_for_one_by_one():
    challenge = f'Bearer realm="{REALM}",scope="repository:org/os:pull repository:org/base:pull"'
    (request,), _ = drive(authenticator().answer(challenge, None), granted())

    assert parse_qs(urlsplit(request.url.text).query)["scope"] == [
        "repository:org/os:pull",
        "repository:org/base:pull",
    ]


def test_an_identity_token_is_posted_and_is_in_no_url():
    credential = Credential(identity_token="refresh-me")
    (request,), authorization = drive(
        authenticator(credential).answer(CHALLENGE, None), TokenAnswer(200, b'{"access_token": "short"}')
    )

    assert authorization.header == "Bearer short"
    assert request.authorization is None
    assert request.url.text == REALM
    assert parse_qs(request.form.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["refresh-me"],
        "client_id": ["cosinspect"],
        "service": ["registry.example"],
        "scope": ["repository:org/os:pull"],
    }


@pytest.mark.parametrize(
    ("stated", "lasts"),
    [
        ({"expires_in": 300}, 300),
        ({}, 60),
        ({"expires_in": 1}, 60),
        ({"expires_in": -5}, 60),
        ({"expires_in": "soon"}, 60),
        ({"expires_in": 10**30}, 60),
        ({"expires_in": float("nan")}, 60),
    ],
)
def test_a_token_is_used_as_long_as_it_lasts(stated, lasts):
    clock = Clock()
    auth = authenticator(clock=clock)
    drive(auth.answer(CHALLENGE, None), granted(**stated))

    clock.now += lasts - 0.5
    assert auth.header() == "Bearer t0ken"
    clock.now += 1
    assert auth.header() is None


def test_a_token_that_another_thread_has_got_is_not_asked_for_again():
    auth = authenticator()
    drive(auth.answer(CHALLENGE, None), granted("first"))
    drive(auth.answer(CHALLENGE, "Bearer first"), granted("second"))
    asked, authorization = drive(auth.answer(CHALLENGE, "Bearer first"))

    assert asked == []
    assert (authorization.header, authorization.fresh) == ("Bearer second", False)


def test_tokens_of_different_scopes_are_kept_apart():
    auth = authenticator()
    other = CHALLENGE.replace("org/os", "org/base")
    drive(auth.answer(CHALLENGE, None), granted("for-os"))
    drive(auth.answer(other, "Bearer for-os"), granted("for-base"))
    asked, authorization = drive(auth.answer(CHALLENGE, "Bearer for-base"))

    assert (asked, authorization.header) == ([], "Bearer for-os")


def test_a_server_that_invents_scopes_does_not_fill_the_memory():
    auth = authenticator()
    for number in range(100):
        drive(auth.answer(f'Bearer realm="{REALM}",scope="repository:r{number}:pull"', None), granted())

    assert len(auth._tokens) <= 16


def test_basic_is_answered_with_the_users_credentials_and_kept():
    auth = authenticator(ALICE)
    asked, authorization = drive(auth.answer('Basic realm="r"', None))

    assert asked == []
    assert authorization.header == auth.header() == ALICE.basic


def test_bearer_is_taken_before_basic_whatever_their_order():
    (request,), _ = drive(authenticator(ALICE).answer(f'Basic realm="r", {CHALLENGE}', None), granted())

    assert request.url.host == "auth.example"


def test_basic_is_taken_where_bearer_names_no_realm():
    _, authorization = drive(authenticator(ALICE).answer('Bearer service="s", Basic realm="r"', None))

    assert authorization.header == ALICE.basic


def denied(auth, challenge, *answers, rejected=None):
    with pytest.raises(AccessDenied) as caught:
        drive(auth.answer(challenge, rejected), *answers)
    return caught.value


def test_basic_without_credentials_says_where_to_get_some():
    error = denied(authenticator(), 'Basic realm="r"')

    assert error.status == 401
    assert "docker login registry.example" in str(error)
    assert str(error).startswith("registry.example/org/os:v1: ")


def test_a_problem_with_the_credentials_is_told_when_it_matters():
    auth = authenticator(problem="the credential helper docker-credential-pass gave none")

    assert "docker-credential-pass" in str(denied(auth, 'Basic realm="r"'))
    assert "docker-credential-pass" in str(denied(auth, CHALLENGE, TokenAnswer(401, b"")))


def test_basic_credentials_are_not_sent_twice():
    assert "refuses" in str(denied(authenticator(ALICE), "Basic", rejected=ALICE.basic))


def test_an_identity_token_is_no_answer_to_basic():
    denied(authenticator(Credential(identity_token="refresh-me")), "Basic")


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Digest realm="r"', "Bearer", 'Bearer realm=""'])
def test_an_unknown_scheme_is_denied_by_name(challenge):
    assert "Bearer or Basic" in str(denied(authenticator(ALICE), challenge))


@pytest.mark.parametrize("realm", ["auth.example/token", "ftp://auth.example", "https://u:p@auth.example/"])
def test_a_realm_must_be_a_plain_url(realm):
    assert "token server" in str(denied(authenticator(ALICE), f'Bearer realm="{realm}"'))


def test_credentials_are_not_sent_in_the_clear():
    challenge = CHALLENGE.replace("https://", "http://")

    assert "HTTPS" in str(denied(authenticator(ALICE), challenge))
    assert "HTTPS" in str(denied(authenticator(), challenge))  # the token that comes back is one as well


def test_a_registry_over_plain_http_may_have_a_token_server_like_it():
    auth = authenticator(ALICE, registry="http://localhost:5000")
    (request,), _ = drive(auth.answer(CHALLENGE.replace("https://", "http://"), None), granted())

    assert request.authorization == ALICE.basic


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"token": 7}',
        b'{"token": ""}',
        b'{"token": "a\\r\\nX-Injected: 1"}',
        b'{"token": "gr\\u00fcn"}',
        b"[" * 100_000,
    ],
)
def test_an_answer_without_a_token_is_denied(body):
    error = denied(authenticator(), CHALLENGE, TokenAnswer(200, body))

    assert "https://auth.example" in str(error)


def test_what_the_token_server_refuses_is_said_with_its_status():
    error = denied(authenticator(ALICE), CHALLENGE, TokenAnswer(403, b"{}"))

    assert error.status == 403
    assert "refuses the credentials" in str(error)


def test_no_secret_is_shown():
    credential = Credential("alice", "s3cret-password", "refresh-me")
    auth = authenticator(ALICE)
    (request,), authorization = drive(auth.answer(CHALLENGE, None), granted("t0ken"))
    shown = "".join(map(repr, [credential, request, authorization, auth, granted("t0ken"), auth._tokens]))
    shown += str(denied(auth, CHALLENGE, TokenAnswer(401, b"t0ken"), rejected="Bearer t0ken"))

    for secret in ("alice", "s3cret-password", "refresh-me", "t0ken", ALICE.basic):
        assert secret not in shown
