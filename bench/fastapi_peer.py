"""The specification's proof of concept in FastAPI, without storage and without its one-second sleep."""

import itertools
import socket

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
ids = itertools.count(1)


class User(BaseModel):
    phone_number: str


class Order(BaseModel):
    user_id: int
    tariff_code: str


@app.post("/register")
async def register(user: User):
    return {"status": "ok", "message": "User registered successfully", "user_id": next(ids)}


@app.post("/create_order")
async def create_order(order: Order):
    return {
        "status": "ok",
        "order_id": next(ids),
        "message": "Order created and payment processed",
    }


# asyncio only disables Nagle's algorithm if the socket's protocol is set explicitly to TCP.
listener = socket.socket(proto=socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
listener.listen(2048)
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])
