# requests-sse 0.5 (PyPI).
import os
import time
from datetime import timedelta

import requests
from requests_sse import EventSource, InvalidStatusCodeError

headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}

while True:
    try:
        with EventSource(
            os.environ["STREAM_URL"],
            headers=headers,
            timeout=(10, 60),  # longer than two heartbeats
            reconnection_time=timedelta(seconds=1),  # doubled before each try
        ) as stream:
            for event in stream:
                if event.last_event_id:
                    # As a header: `latest_event_id` is forgotten at the first block without an id.
                    headers["Last-Event-ID"] = event.last_event_id
                if event.type == "notification":
                    print(event.data, flush=True)
    except InvalidStatusCodeError as err:
        if err.status_code in (401, 403):
            raise  # sign in again
    except requests.RequestException:
        pass  # five tries, then it gives up
    time.sleep(3)
