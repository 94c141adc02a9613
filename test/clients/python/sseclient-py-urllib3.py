# sseclient-py 1.9 (PyPI), on urllib3.
import os
import time

import sseclient
import urllib3

headers = {
    "Authorization": f"Bearer {os.environ['TOKEN']}",
    "Accept": "text/event-stream",
}
retry = 3.0
pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=60))  # longer than two heartbeats


def blocks(response):
    """Yields whole blocks only: sseclient-py would treat half an event, at a cut, as an event."""
    rest = b""
    # read1 returns the bytes that have arrived, chunked or not.
    for part in iter(lambda: response.read1(65536), b""):
        *whole, rest = (rest + part).split(b"\n\n")
        yield from (block + b"\n\n" for block in whole)


while True:
    try:
        response = pool.request(
            "GET", os.environ["STREAM_URL"], headers=headers, preload_content=False, retries=False
        )
        if response.status in (401, 403):
            raise SystemExit("sign in again")
        if response.status == 200:
            for event in sseclient.SSEClient(blocks(response)).events():
                if event.retry:
                    retry = int(event.retry) / 1000
                if event.id:
                    headers["Last-Event-ID"] = event.id
                if event.event == "notification":
                    print(event.data, flush=True)
        response.release_conn()
    except urllib3.exceptions.HTTPError:
        pass
    time.sleep(retry)
