"""Calls the service at the URL as a bot does, with the given client library.

Arguments: the library (requests or aiohttp) and the URL. Reads every response with .json(), so it
fails on a body that is not JSON.
"""

import asyncio
import sys


def with_requests(url):
    import requests

    async def call(method, path, json=None):
        response = requests.request(method, url + path, json=json, timeout=10)
        return response.status_code, response.json()

    return call, None


def with_aiohttp(url):
    import aiohttp

    session = aiohttp.ClientSession()

    async def call(method, path, json=None):
        async with session.request(method, url + path, json=json) as response:
            # aiohttp refuses other content types.
            return response.status, await response.json()

    return call, session


async def converse(library, url):
    call, session = {"requests": with_requests, "aiohttp": with_aiohttp}[library](url)

    status, body = await call("GET", "/")
    print("health", status, body["message"])

    person = {"phone_number": "998901234567"}
    status, body = await call("POST", "/register", person)
    print("register", status, body["status"], body["user_id"])
    more = person | {"id": 77, "chat_id": 123456789, "full_name": "Азиза", "username": "aziza"}
    status, body = await call("POST", "/register", more)
    print("register again", status, body["status"], body["user_id"])

    order = {"user_id": body["user_id"], "tariff_code": "standard_300"}
    status, body = await call("POST", "/create_order", order)
    print("order", status, body["status"], body["order_id"])

    _, body = await call("POST", "/register", {"phone_number": "+998900000002"})
    poor = {"user_id": body["user_id"], "tariff_code": "standard_300"}
    status, body = await call("POST", "/create_order", poor)
    print("declined", status, body["code"], body["order_id"])

    # As if the bot had restarted and lost its users.
    status, body = await call("GET", "/users?chat_id=123456789")
    print("user by chat", status, body["user_id"], body["full_name"])
    status, body = await call("GET", "/users?phone_number=998901234567")
    print("user by phone", status, body["user_id"], body["chat_id"])
    status, body = await call("GET", "/users?chat_id=5")
    print("unknown chat", status, body["code"])
    status, body = await call("GET", f"/users/{order['user_id']}/orders")
    print("my orders", status, [[one["order_id"], one["status"]] for one in body])

    status, body = await call("POST", "/create_order", order | {"tariff_code": "gold"})
    print("unknown tariff", status, body["code"])
    status, body = await call("POST", "/create_order", order | {"user_id": "1"})
    print("invalid", status, body["code"])

    if session is not None:
        await session.close()


asyncio.run(converse(sys.argv[1], sys.argv[2]))
