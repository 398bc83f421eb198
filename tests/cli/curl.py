"""As much of curl as the README uses, for machines that have none: -s, -X, -H, -d and one address."""

import argparse
import sys
import urllib.error
import urllib.request


def main() -> None:
    """Print the body of the answer, whatever its status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("url")
    asked = parser.parse_args()
    body = None if asked.body is None else asked.body.encode()
    request = urllib.request.Request(asked.url, body, method=asked.method)
    for header in asked.headers:
        name, _, value = header.partition(": ")
        request.add_header(name, value)
    try:
        answer = urllib.request.urlopen(request)
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        sys.stdout.write(answer.read().decode())


if __name__ == "__main__":
    main()
