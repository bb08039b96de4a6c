"""`check --from-attestation`: prints an attested verdict without reading the image."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from cosinspect.attestation.place import AttestationRepository
from cosinspect.attestation.verdict import Attested, find_attested
from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.options import access_of, limits_of
from cosinspect.commands.outputs import report_outputs
from cosinspect.commands.signatures import read_key_file, rulebook_of
from cosinspect.extras import load_extra
from cosinspect.image.opening import open_image
from cosinspect.oci.reference import ImageName
from cosinspect.report.display import printable
from cosinspect.report.json_text import json_text
from cosinspect.signatures.keys import PublicKey
from cosinspect.sources.registry.source import RegistrySource

__all__ = ["attested_status"]

FORMATS = ("text", "json", "html")
_STATUSES = {"pass": 0, "fail": 1, "open": 3}


def attested_status(arguments: argparse.Namespace, terminal: Terminal) -> int | None:
    """Write the attested verdict of an image and return its exit status; return None if there is no attestation.

    Raises:
        WrongUse: the image is not in a registry, or a format needs more than an attestation has.
        CosinspectError: the registry does not answer.
    """
    reference = ImageName.parse(arguments.image).reference
    if reference is None:
        raise WrongUse("--from-attestation: expected an image in a registry")
    outputs = report_outputs(arguments.output, arguments.format)
    for output in outputs:
        if output.format not in FORMATS:
            raise WrongUse(f"--from-attestation: expected {', '.join(FORMATS)}, found {output.format}")
    environment = arguments.environment
    keys = tuple(
        PublicKey.from_pem(read_key_file(text, environment), text) for text in arguments.from_attestation
    )
    book = rulebook_of(arguments)
    limits = limits_of(arguments)
    access = access_of(arguments, arguments.image)
    with open_image(arguments.image, platform=book.platform, access=access, limits=limits) as image:
        subject, judged = image.index_digest or image.digest, image.digest
    source = RegistrySource(evolve(reference, digest=subject), access=access, limits=limits)
    try:
        found = find_attested(subject, judged, book.digest(), keys, AttestationRepository(source, limits))
    finally:
        source.close()
    if found is None or found.result.report is None:
        if not arguments.quiet:
            terminal.err.write(
                "cosinspect: no attestation by these keys with these rules; inspecting the image\n"
            )
        return None
    report = found.result.report
    for output in outputs:
        text = _written(output.format, arguments.image, found, report)
        if output.path is None:
            terminal.out.write(text)
        else:
            output.path.write_text(text, "utf-8", "backslashreplace")
    return _STATUSES[str(report.get("verdict"))]


def _written(form: str, name: str, found: Attested, report: Mapping[str, Any]) -> str:
    if form == "json":
        return json_text(report, indent=2) + "\n"
    if form == "html":
        page: str = load_extra("cosinspect.render.html", "html").report_page(report)
        return page
    return "".join(f"{printable(line)}\n" for line in _lines(name, found))


def _lines(name: str, found: Attested) -> Iterator[str]:
    result = found.result
    yield f"{result.result}  {name}, as attested by {found.key}"
    for word, tests in (("failed", result.failed), ("warned", result.warned)):
        for test in tests:
            yield f"  {word}  {test}"
