# httpx-sse 0.4 (PyPI), on httpx.
import os
import time

import httpx
from httpx_sse import connect_sse

headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
retry = 3.0
timeout = httpx.Timeout(10, read=60)  # longer than two heartbeats; the default is 5 s

with httpx.Client(timeout=timeout, headers=headers) as client:
    while True:
        try:
            with connect_sse(client, "GET", os.environ["STREAM_URL"], headers=headers) as stream:
                stream.response.raise_for_status()
                for event in stream.iter_sse():
                    if event.retry is not None:
                        retry = event.retry / 1000
                    if event.id:
                        headers["Last-Event-ID"] = event.id
                    if event.event == "notification":
                        print(event.data, flush=True)
        except httpx.HTTPStatusError as err:
            if err.response.status_code in (401, 403):
                raise  # sign in again
        except httpx.TransportError:
            pass
        time.sleep(retry)
