# requests-sse 0.5 (PyPI).
import os
import time
from datetime import timedelta

import requests
from requests_sse import EventSource, InvalidStatusCodeError

last_id = None

while True:
    try:
        with EventSource(
            os.environ["STREAM_URL"],
            headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},
            latest_event_id=last_id,
            timeout=(10, 60),  # longer than two heartbeats
            reconnection_time=timedelta(seconds=1),  # doubled before each try
        ) as stream:
            for event in stream:
                last_id = event.last_event_id or last_id
                if event.type == "notification":
                    print(event.data, flush=True)
    except InvalidStatusCodeError as err:
        if err.status_code in (401, 403):
            raise  # sign in again
    except requests.RequestException:
        pass  # it gives up after five tries
    time.sleep(3)
