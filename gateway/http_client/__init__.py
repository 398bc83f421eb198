"""One narrow door to other people's HTTP servers: a small keep-alive HTTP/1.1 client on httptools.

It answers one question exactly: did anything leave? `NotSent` is proof that no byte of the request did; `NoAnswer`
means that bytes may have arrived and no whole answer came. It follows no redirects, never sends a request twice, keeps
no cookies, decodes no content coding. One sweep per client ends what is over time, instead of one timer per request.
"""

from gateway.http_client.client import HttpClient
from gateway.http_client.message import HttpAnswer, HttpTrouble, Limits, NoAnswer, NotSent

__all__ = ["HttpAnswer", "HttpClient", "HttpTrouble", "Limits", "NoAnswer", "NotSent"]
