"""Reports of what was decided, by digest: for programs as JSON, for people as a page."""

from __future__ import annotations

import json

from attrs import frozen

from cosinspect.errors import InvalidManifest
from cosinspect.oci.documents import Digest
from cosinspect.render.html import report_page
from cosinspect.server.exchange import Refusal, Reply
from cosinspect.server.verdicts import Verdicts

__all__ = ["Reports"]

HTML = "text/html; charset=utf-8"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}
"""What the page says comes from strangers' images; it may load nothing."""


@frozen
class Reports:
    """Gives reports.

    Attributes:
        verdicts: what was decided.
    """

    verdicts: Verdicts

    def answer(self, digest: str, accept: str) -> Reply:
        """Return the latest report on an image.

        Args:
            digest: of the manifest or index that was requested.
            accept: the media types that the client names.

        Raises:
            Refusal: it is not a digest, or nothing is known of it.
        """
        try:
            parsed = str(Digest.parse(digest))
        except InvalidManifest as fault:
            raise Refusal(400, fault.message) from fault
        decided = self.verdicts.latest(parsed)
        if decided is None:
            raise Refusal(404, f"nothing is known of {parsed}")
        if "text/html" in accept:
            return Reply(report_page(json.loads(decided.report)).encode(), media_type=HTML, headers=HEADERS)
        return Reply(decided.report, headers=HEADERS)
