# aiohttp-sse-client2 0.3 (PyPI).
import asyncio
import os

import aiohttp
from aiohttp_sse_client2.client import EventSource

headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
timeout = aiohttp.ClientTimeout(total=None, sock_read=60)  # by default aiohttp ends a stream after 5 minutes


async def main():
    while True:
        try:
            async with EventSource(os.environ["STREAM_URL"], headers=headers, timeout=timeout) as stream:
                async for event in stream:
                    if event.last_event_id:
                        headers["Last-Event-ID"] = event.last_event_id
                    if event.type == "notification":
                        print(event.data, flush=True)
        except ConnectionRefusedError:
            raise  # 401: sign in again
        except (ConnectionError, aiohttp.ClientError, asyncio.TimeoutError):
            pass  # it gives up after one try
        await asyncio.sleep(3)


asyncio.run(main())
