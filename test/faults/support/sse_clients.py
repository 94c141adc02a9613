"""Opens event streams with real clients, one for each line of its standard input, and prints each event with its time.

In:   {"n": 1, "client": "requests", "url": "...", "token": "...", "last_event_id": "..."}
Out:  {"n": 1, "opened_at": 1700000000000.0}
      {"n": 1, "event": "ready", "data": "...", "id": "...", "at": 1700000000000.1}
      {"n": 1, "error": "..."}
"""

import asyncio
import json
import sys
import threading
import time

import aiohttp
import httpx
import ld_eventsource
import requests
import sseclient
import urllib3
from aiohttp_sse_client2 import client as aiohttp_sse
from httpx_sse import connect_sse

# Made once, because it takes up to 0.1 s to read the machine's certificates.
HTTPX = httpx.Client(timeout=60, limits=httpx.Limits(max_connections=None))

lock = threading.Lock()


def say(**line):
    with lock:
        print(json.dumps(line), flush=True)


def of_requests(url, headers):
    with requests.get(url, headers=headers, stream=True) as response:
        response.raise_for_status()
        block = {}
        for line in response.iter_lines(decode_unicode=True):
            name, _, value = line.partition(": ")
            if line:
                block[name] = value
            elif block:
                yield block.get("event"), block.get("data"), block.get("id")
                block = {}


def of_sseclient_on_requests(url, headers):
    response = requests.get(url, headers=headers, stream=True)
    for event in sseclient.SSEClient(response).events():
        yield event.event, event.data, event.id


def of_sseclient_on_urllib3(url, headers):
    response = urllib3.PoolManager().request("GET", url, headers=headers, preload_content=False)
    for event in sseclient.SSEClient(response).events():
        yield event.event, event.data, event.id


def of_launchdarkly(url, headers):
    connect = ld_eventsource.config.ConnectStrategy.http(url, headers=headers)
    for event in ld_eventsource.SSEClient(connect).events:
        yield event.event, event.data, event.id


def of_httpx(url, headers):
    with connect_sse(HTTPX, "GET", url, headers=headers) as source:
        for event in source.iter_sse():
            yield event.event, event.data, event.id


async def of_aiohttp(url, headers, see):
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp_sse.EventSource(url, headers=headers, timeout=timeout) as source:
        async for event in source:
            see(event.type, event.data, event.last_event_id)


CLIENTS = {
    "requests": of_requests,
    "sseclient-py on requests": of_sseclient_on_requests,
    "sseclient-py on urllib3": of_sseclient_on_urllib3,
    "launchdarkly-eventsource": of_launchdarkly,
    "httpx-sse": of_httpx,
}


def run(n, client, url, token, last_event_id=None):
    def see(event, data, event_id):
        say(n=n, event=event, data=data, id=event_id, at=time.time() * 1000)

    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    say(n=n, opened_at=time.time() * 1000)
    try:
        if client == "aiohttp-sse-client2":
            asyncio.run(of_aiohttp(url, headers, see))
        else:
            for event in CLIENTS[client](url, headers):
                see(*event)
    except Exception as error:  # the test shows any error of a client
        say(n=n, error=repr(error))


for line in sys.stdin:
    threading.Thread(target=run, kwargs=json.loads(line), daemon=True).start()
