"""Reports of decided images, by digest: JSON for programs, a page for people."""

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
"""The page shows text from untrusted images; it may load no resource."""


@frozen
class Reports:
    """Serves reports.

    Attributes:
        verdicts: the stored verdicts.
    """

    verdicts: Verdicts

    def answer(self, digest: str, accept: str) -> Reply:
        """Return the latest report on an image.

        Args:
            digest: of the manifest or index that was requested.
            accept: the media types that the client names.

        Raises:
            Refusal: it is not a digest, or no report on it is stored.
        """
        try:
            parsed = str(Digest.parse(digest))
        except InvalidManifest as fault:
            raise Refusal(400, fault.message) from fault
        decided = self.verdicts.latest(parsed)
        if decided is None:
            raise Refusal(404, f"no report on {parsed} is stored")
        if "text/html" in accept:
            return Reply(report_page(json.loads(decided.report)).encode(), media_type=HTML, headers=HEADERS)
        return Reply(decided.report, headers=HEADERS)
