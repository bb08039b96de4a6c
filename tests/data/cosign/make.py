"""Makes the fixtures beside it with the real cosign, versions 2 and 3; see README.md. Not part of any test run.

python tests/data/cosign/make.py COSIGN_2 COSIGN_3
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cosinspect.testing import ImageBuilder, Registry, image_index
from signing import push_bundle, statement_of
from sigstore_instance import Sigstore

HERE = Path(__file__).parent
IDENTITY = (
    "https://github.com/org/os/.github/workflows/build.yml@refs/heads/main",
    "https://token.actions.githubusercontent.com",
)
REPOSITORY = "org/os"
ELSEWHERE = "signatures/of-everything"
PREDICATE = '{"verdict": "this is a statement about the image and no signature of it"}'


def make_images():
    """The image that is signed: an index of two, of fixed content; and another one that is not."""
    images = [
        ImageBuilder(platform=platform).layer({"etc/os-release": f"ID=signed\nARCH={platform}\n"}).build()
        for platform in ("linux/amd64", "linux/arm64")
    ]
    return image_index(*images), ImageBuilder(platform="linux/amd64").layer({"etc/motd": "other\n"}).build()


def dump(registry, repository, target, known=()):
    """Write what a repository holds beyond `known`."""
    store = registry._backend.store
    target.mkdir(parents=True)
    blobs = store.blobs.get(repository, {})
    manifests = store.manifests.get(repository, {})
    document = {
        "tags": {
            tag: digest for tag, digest in store.tags.get(repository, {}).items() if digest not in known
        },
        "manifests": {digest: kind for digest, (kind, _) in manifests.items() if digest not in known},
        "blobs": [digest for digest in blobs if digest not in known],
    }
    (target / "index.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    for digest in document["manifests"]:
        (target / digest.replace(":", "-")).write_bytes(manifests[digest][1])
    for digest in document["blobs"]:
        (target / digest.replace(":", "-")).write_bytes(blobs[digest])


class Cosign:
    def __init__(self, two, three, work):
        self.two, self.three, self.work = two, three, work
        self.keys = work / "keys"
        self.config = work / "signing-config.json"
        self.environment = {**os.environ, "COSIGN_PASSWORD": ""}
        self.run(three, "signing-config", "create", "--out", str(self.config))

    def run(self, program, *arguments, cwd=None, **environment):
        done = self.ask(program, *arguments, cwd=cwd, **environment)
        if done.returncode:
            sys.exit(f"{program} {arguments}: {done.stderr}")
        return done.stdout

    def ask(self, program, *arguments, cwd=None, **environment):
        return subprocess.run(
            [program, *arguments],
            cwd=cwd,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            input="y\n",
        )

    def sign_2(self, name, key, *more, program=None, **environment):
        """The tag scheme."""
        options = ["--tlog-upload=false", "--new-bundle-format=false", "--use-signing-config=false", "-y"]
        self.run(
            program or self.two, "sign", *options, "--key", str(self.keys / key), *more, name, **environment
        )

    def sign_3(self, name, key, *more, **environment):
        """A bundle."""
        options = ["--signing-config", str(self.config), "-y"]
        self.run(self.three, "sign", *options, "--key", str(self.keys / key), *more, name, **environment)

    def sign_with_openssl(self, name, key, *more):
        """The tag scheme, the payload as cosign makes it, the signature by openssl."""
        payload, signature = self.work / "payload", self.work / "signature"
        payload.write_text(self.run(self.two, "generate", name))
        signing = ["openssl", "pkeyutl", "-sign", "-inkey", self.keys / key, "-rawin", *more]
        subprocess.run([*signing, "-in", payload, "-out", signature], check=True)
        encoded = self.work / "signature.base64"
        encoded.write_bytes(base64.b64encode(signature.read_bytes()))
        options = ["--payload", str(payload), "--signature", str(encoded)]
        self.run(self.two, "attach", "signature", *options, name)

    def attest(self, name, key):
        predicate = self.work / "predicate.json"
        predicate.write_text(PREDICATE)
        options = [
            "--signing-config",
            str(self.config),
            "-y",
            "--predicate",
            str(predicate),
            "--type",
            "custom",
        ]
        self.run(self.three, "attest", *options, "--key", str(self.keys / key), name)

    def sign_without_a_key(self, name):
        """A bundle by an instance of sigstore made for it, which cosign's `verify` has to be content with."""
        instance = Sigstore()
        root = HERE / "keyless.json"
        root.write_text(instance.trusted_root() + "\n")
        address = name.partition("/")[0]
        push_bundle(address, json.dumps(instance.sign(statement_of(), *IDENTITY)).encode())
        options = ["--certificate-identity", IDENTITY[0], "--certificate-oidc-issuer", IDENTITY[1]]
        self.run(self.three, "verify", "--trusted-root", str(root), *options, name)

    def verdicts(self, name, *options, **environment):
        """The keys with which cosign's own `verify` is content; the hash of a P-384 key has to be told."""

        def is_content(key, digest):
            more = ["--insecure-ignore-tlog=true", "--signature-digest-algorithm", digest, "--key", str(key)]
            return not self.ask(self.three, "verify", *options, *more, name, **environment).returncode

        keys = sorted(self.keys.glob("*.pub"))
        return [key.stem for key in keys if is_content(key, "sha256") or is_content(key, "sha384")]

    def make_keys(self):
        self.keys.mkdir()
        for number in (1, 2):
            self.run(self.two, "generate-key-pair", "--output-key-prefix", f"p256-{number}", cwd=self.keys)
        for name, options in {
            "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "ed25519": ["-algorithm", "ED25519"],
        }.items():
            command = ["openssl", "genpkey", *options, "-out", f"{name}.pem"]
            subprocess.run(command, cwd=self.keys, check=True, capture_output=True)
            imported = ["--key", f"{name}.pem", "--output-key-prefix", name]
            self.run(self.three, "import-key-pair", *imported, cwd=self.keys)


def main(two, three):
    image, other = make_images()
    for old in HERE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    image.write_layout(HERE / "image", "v1")
    verdicts = {}
    with tempfile.TemporaryDirectory() as work:
        cosign = Cosign(two, three, Path(work))
        cosign.make_keys()
        (HERE / "keys").mkdir()
        for key in cosign.keys.glob("*.pub"):
            shutil.copy(key, HERE / "keys" / key.name)

        def scene(name, sign, *, referrers=True, subject=image, elsewhere=False, verify=()):
            with Registry(referrers=referrers) as registry:
                pinned = registry.push(subject, f"{REPOSITORY}:v1").rpartition(":")[0] + f"@{subject.digest}"
                environment = {"COSIGN_REPOSITORY": f"{registry.address}/{ELSEWHERE}"} if elsewhere else {}
                sign(pinned, **environment)
                dump(registry, ELSEWHERE if elsewhere else REPOSITORY, HERE / name, known=set(subject.blobs))
                if subject is image:
                    verdicts[name] = cosign.verdicts(pinned, *verify, **environment)

        def twice(sign):
            def run(name):
                sign(name, "p256-1.key")
                sign(name, "p256-2.key", "-a", "stage=release", "-a", "build=42")

            return run

        def once(sign, key="p256-1.key", **options):
            return lambda name, **environment: sign(name, key, **options, **environment)

        scene("tag", twice(cosign.sign_2))
        scene("tag-3", once(cosign.sign_2, program=three))
        scene("tag-elsewhere", once(cosign.sign_2), elsewhere=True)
        scene("tag-other-image", once(cosign.sign_2), subject=other)
        experimental = {"COSIGN_EXPERIMENTAL": "1"}
        scene(
            "tag-as-referrer",
            lambda name: cosign.sign_2(
                name, "p256-1.key", "--registry-referrers-mode", "oci-1-1", **experimental
            ),
            verify=("--experimental-oci11", "--new-bundle-format=false"),
        )
        scene("bundle", twice(cosign.sign_3))
        scene("bundle-fallback", twice(cosign.sign_3), referrers=False)
        scene("bundle-elsewhere", once(cosign.sign_3), elsewhere=True)
        scene("bundle-other-image", once(cosign.sign_3), subject=other)
        for kind in ("p384", "rsa"):
            scene(f"tag-{kind}", once(cosign.sign_2, f"{kind}.key"))
            scene(f"bundle-{kind}", once(cosign.sign_3, f"{kind}.key"))
        scene("tag-p384-sha256", lambda name: cosign.sign_with_openssl(name, "p384.pem", "-digest", "sha256"))
        scene("tag-ed25519", once(cosign.sign_with_openssl, "ed25519.pem"))
        scene("tag-ed25519ph", once(cosign.sign_2, "ed25519.key"))
        scene("bundle-ed25519ph", once(cosign.sign_3, "ed25519.key"))
        scene("attestation", once(cosign.attest))
        scene("keyless", cosign.sign_without_a_key)
        del verdicts["keyless"]  # no key verifies it
    (HERE / "keyless.json").rename(HERE / "keyless" / "trusted_root.json")
    (HERE / "verdicts.json").write_text(json.dumps(verdicts, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
