# sseclient-py 1.9 (PyPI), on requests.
import os
import time

import requests
import sseclient
import urllib3

headers = {
    "Authorization": f"Bearer {os.environ['TOKEN']}",
    "Accept": "text/event-stream",
}
retry = 3.0


def blocks(response):
    """Yields whole blocks only: sseclient-py would treat half an event, at a cut, as an event."""
    rest = b""
    # read1 returns the bytes that have arrived, chunked or not.
    for part in iter(lambda: response.raw.read1(65536), b""):
        *whole, rest = (rest + part).split(b"\n\n")
        yield from (block + b"\n\n" for block in whole)


while True:
    try:
        with requests.get(
            os.environ["STREAM_URL"], headers=headers, stream=True, timeout=(10, 60)
        ) as response:
            response.raise_for_status()
            for event in sseclient.SSEClient(blocks(response)).events():
                if event.retry:
                    retry = int(event.retry) / 1000
                if event.id:
                    headers["Last-Event-ID"] = event.id
                if event.event == "notification":
                    print(event.data, flush=True)
    except requests.HTTPError as err:
        if err.response.status_code in (401, 403):
            raise  # sign in again
    except (requests.RequestException, urllib3.exceptions.HTTPError):
        pass
    time.sleep(retry)
