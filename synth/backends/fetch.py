"""The control plane: one GET now and then, beside the requests, over the same certificates, proxy and key."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException

from synth.backends.dial import origin_of, proxy_for, tls_context
from synth.protocol.endpoint import Endpoint
from synth.types import Outcome


def fetched(endpoint: Endpoint, url: str, timeout_s: float) -> Outcome:
    """What a server of the endpoint's host says at `url`, or why it says nothing. Blocks.

    Raises Fatal when the endpoint's key variable is not set or holds no key, and for a host that is no name.
    """
    headers = endpoint.known.with_key(endpoint.key())
    origin = origin_of(url)
    proxy, scheme, url = proxy_for(url), origin.scheme, f"{origin.scheme}://{origin.authority}{origin.path}"
    secure = [urllib.request.HTTPSHandler(context=tls_context())] if scheme == "https" else []
    opener = urllib.request.OpenerDirector()  # one that follows no redirect, which would carry the key elsewhere
    for handler in (
        urllib.request.ProxyHandler({scheme: proxy} if proxy else {}),
        urllib.request.HTTPHandler(),
        *secure,
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout_s) as reply:  # noqa: S310 (http or https, by the form of a base URL)
            return Outcome(reply.status, reply.read())
    except urllib.error.HTTPError as error:
        return Outcome(error.code, error.read(), {name.lower(): value for name, value in error.headers.items()})
    except (OSError, HTTPException) as error:
        return Outcome(0, error="connect", detail=str(getattr(error, "reason", error)))
