"""A stack, a real Chromium and pages of merchants, for tests of what people see.

Playwright's blocking interface runs an event loop of its own in the main thread, so the stack is
kept by Trio in another one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import trio
from attrs import define, field
from playwright.sync_api import Browser, FrameLocator, Page, Request, sync_playwright

from stack.temporary import TemporaryStack, temporary_stack
from turnout_client import PaymentIntent, Turnout

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = (
    "--no-sandbox",  # root has none
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
)
OVERRIDES: Final = {
    "shop.enabled": "true",
    "api.merchant_cache_s": "0.2",
    "networks.vsim.inquiry_times_s": "0.5,1",
    "networks.vsim.inquiry_window_s": "2",
}
WAIT_MS: Final = 15_000
EXPIRY: Final = "1230"
FRAME: Final = "#card iframe"


@contextmanager
def stack_in_a_thread() -> Iterator[TemporaryStack]:
    """A stack with a demo shop, for blocking code."""
    ready, stop = threading.Event(), trio.Event()
    held: dict[str, Any] = {}

    async def hold() -> None:
        held["token"] = trio.lowlevel.current_trio_token()
        async with temporary_stack(OVERRIDES) as stack:
            held["stack"] = stack
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            trio.run(hold)
        except Exception as error:  # noqa: BLE001 - told in the thread that waits
            held["error"] = error
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait()
        if "stack" not in held:
            raise held["error"]
        yield held["stack"]
    finally:
        if "stack" in held:
            held["token"].run_sync_soon(stop.set)
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@define
class Site:
    """A web site of one page, whatever the path; `url` ends without a slash."""

    url: str
    html: str = "<!doctype html><title>empty</title>"
    headers: dict[str, str] = field(factory=dict)


@contextmanager
def serve_site() -> Iterator[Site]:
    """Serve a site on a free port; what it answers can be changed while it runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    site = Site(f"http://127.0.0.1:{server.server_port}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = site.html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@define
class Merchant:
    """The demo shop's merchant, its client and its pages."""

    stack: TemporaryStack
    client: Turnout
    site: Site

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return self.stack.endpoints.api.url

    @property
    def key(self) -> str:
        """The publishable key."""
        return self.stack.credentials().publishable_key

    def create_intent(self, **options: Any) -> PaymentIntent:
        """An intent with its client secret."""
        return self.client.create_payment_intent(2499, "usd", **options)

    def page_html(
        self, client_secret: str, *, locale: str = "en", appearance: str = "{}", head: str = ""
    ) -> str:
        """A page with the card fields that notes every event in `told`, every error by its code."""
        return f"""<!doctype html><html lang="en"><head><title>Shop</title>{head}
<meta name="viewport" content="width=device-width,initial-scale=1"></head><body>
<h1>Shop</h1><main><div id="card"></div></main>
<script src="{self.api_url}/turnout.js"></script><script>
const told = [], began = performance.now(); let readyMs = null;
const card = Turnout({json.dumps(self.key)}, {{locale: {json.dumps(locale)}}})
  .fields({{clientSecret: {json.dumps(client_secret)}, appearance: {appearance}}}).create('card');
const plain = (value) => value instanceof Error
  ? {{code: value.code, field: value.field, message: value.message}} : value;
for (const name of ['ready', 'change', 'focus', 'blur', 'brand', 'bin', 'submit', 'error'])
  card.on(name, (value) => told.push([name, plain(value)]));
card.on('ready', () => {{ readyMs = performance.now() - began; }});
const confirm = () => card.confirm().catch((error) => ({{refused: plain(error)}}));
card.mount('#card');
</script></body></html>"""

    def open(self, page: Page, intent: PaymentIntent | None = None, **options: Any) -> FrameLocator:
        """Show the card fields on the merchant's own page; they are ready."""
        intent = intent or self.create_intent()
        assert intent.client_secret is not None
        self.site.html = self.page_html(intent.client_secret, **options)
        page.goto(self.site.url)
        page.wait_for_function("told.some(([name]) => name === 'ready')")
        return page.frame_locator(FRAME)


def fill(fields: FrameLocator, number: str, *, cvc: str = "123", expiry: str = EXPIRY) -> None:
    """Type a card as a person does, key by key."""
    fields.get_by_label("Card number").press_sequentially(number)
    fields.get_by_label("Expiry date").press_sequentially(expiry)
    fields.get_by_label("Security code").press_sequentially(cvc)
    fields.get_by_label("Name on card").fill("A Cardholder")


@define
class Traffic:
    """Everything that a page has sent."""

    requests: list[Request] = field(factory=list)

    @classmethod
    def of(cls, page: Page) -> Traffic:
        """Note what a page sends from now on, its frames included."""
        traffic = cls()

        def note(request: Request) -> None:
            traffic.requests.append(request)

        page.on("request", note)
        return traffic

    def texts(self) -> Iterator[str]:
        """Addresses, headers and bodies."""
        for request in self.requests:
            yield request.url
            yield json.dumps(request.all_headers())
            yield request.post_data or ""


def eventually(page: Page, check: Callable[[], bool], wait_ms: int = WAIT_MS) -> None:
    """Wait until something holds."""
    for _ in range(wait_ms // 50):
        if check():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it has not come about in time")
