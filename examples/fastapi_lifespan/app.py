# SPDX-License-Identifier: Apache-2.0
"""A FastAPI application that publishes orders and bills them, in one process.

::

    pip install 'holdfast[sql]' fastapi uvicorn
    uvicorn app:app                       # HOLDFAST_URL names the server; without it one is embedded
    curl -X POST localhost:8000/orders -H 'content-type: application/json' -d '{"id": "o-1", "amount": 990}'
    curl localhost:8000/bills

``hf.lifespan`` runs the consumers beside the requests. Kill the process in the middle of a bill and start it again: the
order is billed once. Stop it with Ctrl-C or SIGTERM: what runs is finished, what waits is handed back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from holdfast import Holdfast, Retry, StreamSettings
from holdfast._sql import Tables, create_all

engine = create_async_engine(os.environ.get("BILLS", "sqlite+aiosqlite:///bills.db"))
bills = Table("bill", metadata := MetaData(), Column("order_id", String), Column("amount", Integer))

#: A lease of two seconds: three after a crash somebody goes on. The default, ten, forgives longer pauses.
hf = Holdfast(os.environ.get("HOLDFAST_URL"), sql=engine, settings=StreamSettings(lease_ms=2000, sweep_ms=500))
#: How long billing takes. For trying out what happens in the meantime.
BILLING_S = float(os.environ.get("BILLING_S", "0"))


class Order(BaseModel):
    """What a customer sends."""

    id: str
    amount: int


class OrderPlaced(msgspec.Struct):
    """What the stream holds."""

    id: str
    amount: int


@hf.consumer("orders", group="billing", retry=Retry(attempts=5), once="sql")
async def bill(order: OrderPlaced, session: AsyncSession) -> None:
    """Writes a bill, in the transaction that also records that this order was billed."""
    print(f"billing {order.id}", flush=True)
    await asyncio.sleep(BILLING_S)
    await session.execute(insert(bills).values(order_id=order.id, amount=order.amount))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Tables first, then the consumers, for as long as the application lives."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.run_sync(create_all, Tables())  # as `holdfast sql init` does
    async with hf.lifespan(app):
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=202)
async def place(order: Order) -> dict[str, str]:
    """Takes an order. The order's own number is the message's id: a customer who asks twice has ordered once."""
    receipt = await hf.publish("orders", OrderPlaced(order.id, order.amount), id=order.id, key=order.id)
    return {"message": receipt.id}


@app.get("/bills")
async def billed() -> list[dict[str, str | int]]:
    """All bills."""
    async with engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(select(bills))).mappings()]
