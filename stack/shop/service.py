"""The shop's process: HTTP in front, the merchant's client behind."""

from __future__ import annotations

import trio

from api.http.server import Server
from chassis.service import Service
from stack.shop.keys import load_keys
from stack.shop.orders import Shop
from stack.shop.pages import answers
from turnout_client.on_trio import TrioTurnout


async def serve(service: Service) -> None:
    """Run the shop until asked to drain."""
    settings = service.settings
    keys = load_keys(service.data_dir)
    async with (
        TrioTurnout(keys.publishable_key, keys.secret_key, keys.api_url) as turnout,
        trio.open_nursery() as asking,
    ):
        shop = Shop(answers(keys), turnout, asking, settings.shop.orders_in_flight_max)
        server = Server(settings.api, shop.handle, finished=lambda _exchange, _status: None)
        async with trio.open_nursery() as serving:
            await serving.start(server.serve, [service.listeners["http"]], service.draining)
            service.ready()
        asking.cancel_scope.cancel(reason="the last customer is gone")
