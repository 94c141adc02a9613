# launchdarkly-eventsource 1.7 (PyPI).
import os

from ld_eventsource import SSEClient
from ld_eventsource.config import ConnectStrategy, ErrorStrategy, RetryDelayStrategy
from ld_eventsource.errors import HTTPStatusError
from urllib3 import Timeout


def decide(err):
    is_signed_out = isinstance(err, HTTPStatusError) and err.status in (401, 403)
    return (ErrorStrategy.FAIL if is_signed_out else ErrorStrategy.CONTINUE, None)


client = SSEClient(
    ConnectStrategy.http(
        os.environ["STREAM_URL"],
        headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},
        urllib3_request_options={"timeout": Timeout(connect=10, read=60)},  # longer than two heartbeats
    ),
    error_strategy=ErrorStrategy.from_lambda(decide),  # otherwise it stops at the end of a stream
    retry_delay_strategy=RetryDelayStrategy.default(max_delay=30, jitter_multiplier=0.5),  # by default there is no limit
)
for event in client.events:
    if event.event == "notification":
        print(event.data, flush=True)
