"""Requests out of bytes: whole, byte by byte, and everything that must not pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.parser import HEADER_FIELDS_MAX, Phase, Rejection, Request, RequestParser
from chassis.settings import API

GET = b"GET /keys HTTP/1.1\r\nHost: shop\r\n\r\n"
POST = b"POST /a?b=c HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\nX-Y:  z \t\r\n\r\nabc"
CHUNKED = (
    b"POST /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nHost: trailer\r\n\r\n"
)
LAST = b"GET /last HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
UPGRADE = (
    b"POST /up HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAA\r\nContent-Length: 3\r\n\r\nxyz"
)


def parse(data: bytes, limits: API | None = None) -> list[Request | Rejection]:
    """Everything that one parser makes of the bytes."""
    return RequestParser(limits or API()).feed(data)


def only(data: bytes, limits: API | None = None) -> Request | Rejection:
    """The one thing that the bytes are."""
    (item,) = parse(data, limits)
    return item


def rejection(data: bytes, limits: API | None = None) -> str:
    """The code that the bytes are rejected with."""
    item = only(data, limits)
    assert isinstance(item, Rejection)
    return item.code


def test_a_request_is_read_as_it_was_sent() -> None:
    """Method, target, lower-cased header names, trimmed values and body come out."""
    assert only(POST) == Request(
        method=b"POST",
        target=b"/a?b=c",
        headers={b"host": b"shop", b"content-length": b"3", b"x-y": b"z"},
        body=b"abc",
        keep_alive=True,
    )


def test_chunks_are_joined_and_trailers_dropped() -> None:
    """A chunked body is one body; a trailer does not become a header."""
    request = only(CHUNKED)
    assert isinstance(request, Request)
    assert request.body == b"abc0123456789"
    assert request.headers[b"host"] == b"shop"


def test_an_upgrade_is_ignored_with_its_body() -> None:
    """A request that offers HTTP/2, as Java's client does, is read like any other."""
    first, second = parse(UPGRADE + GET)
    assert isinstance(first, Request)
    assert (first.target, first.body, first.keep_alive) == (b"/up", b"xyz", True)
    assert isinstance(second, Request)
    assert (second.target, second.headers) == (b"/keys", {b"host": b"shop"})


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_any_cutting_gives_the_same_requests(size: int) -> None:
    """Pipelined requests come out the same whole, byte by byte, or in between."""
    stream = GET + POST + CHUNKED + UPGRADE + POST + LAST
    parser = RequestParser(API())
    items = [
        item
        for start in range(0, len(stream), size)
        for item in parser.feed(stream[start : start + size])
    ]
    assert items == parse(stream)
    assert len(items) == 6
    assert parser.messages_begun == 6


def test_phases_follow_the_bytes() -> None:
    """The parser says whether it stands before, in the head or in the body of a request."""
    parser = RequestParser(API())
    phases = [parser.phase]
    for part in (POST[:10], POST[10:-3], POST[-3:]):
        parser.feed(part)
        phases.append(parser.phase)
    assert phases == [Phase.IDLE, Phase.HEAD, Phase.BODY, Phase.IDLE]


def test_what_follows_a_last_request_is_not_read() -> None:
    """Bytes after `Connection: close` are neither a request nor an error."""
    parser = RequestParser(API())
    (request,) = parser.feed(LAST + GET)
    assert isinstance(request, Request)
    assert not request.keep_alive
    assert parser.feed(GET) == []


def test_http_1_0_is_answered_once() -> None:
    """HTTP/1.0 is read, even without Host, but never kept alive."""
    old = only(b"GET /healthz HTTP/1.0\r\n\r\n")
    asking = only(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    assert isinstance(old, Request)
    assert isinstance(asking, Request)
    assert (old.keep_alive, asking.keep_alive) == (False, False)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("both lengths", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        ("both lengths, other order", b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
        ("two equal lengths", b"Content-Length: 3\r\nContent-Length: 3\r\n"),
        ("two lengths", b"Content-Length: 3\r\nContent-Length: 4\r\n"),
        ("a list of lengths", b"Content-Length: 3, 3\r\n"),
        ("a signed length", b"Content-Length: +3\r\n"),
        ("a negative length", b"Content-Length: -3\r\n"),
        ("a length in hex", b"Content-Length: 0x3\r\n"),
        ("an empty length", b"Content-Length:\r\n"),
        ("an endless length", b"Content-Length: 99999999999999999999999\r\n"),
        ("another coding first", b"Transfer-Encoding: gzip, chunked\r\n"),
        ("another coding", b"Transfer-Encoding: gzip\r\n"),
        ("identity", b"Transfer-Encoding: identity\r\n"),
        ("almost chunked", b"Transfer-Encoding: xchunked\r\n"),
        ("chunked after a control", b"Transfer-Encoding: \x0bchunked\r\n"),
        ("chunked twice", b"Transfer-Encoding: chunked, chunked\r\n"),
        ("two codings", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("two hosts", b"Host: other\r\n"),
        ("two authorizations", b"Authorization: a\r\nAuthorization: a\r\n"),
        ("two nonces", b"X-Request-Nonce: a\r\nx-request-nonce: b\r\n"),
        ("two idempotency keys", b"Idempotency-Key: a\r\nIdempotency-Key: a\r\n"),
        ("two content types", b"Content-Type: a\r\nContent-Type: b\r\n"),
        ("a folded header", b"X: a\r\n b\r\n"),
        ("a folded header, tab", b"X: a\r\n\tb\r\n"),
        ("space before the colon", b"X : a\r\n"),
        ("no colon", b"X\r\n"),
        ("no name", b": a\r\n"),
        ("a bare line feed", b"X: a\nY: b\r\n"),
        ("a bare carriage return", b"X: a\rY: b\r\n"),
        ("a null byte", b"X: a\x00b\r\n"),
        ("a control character", b"X: a\x01b\r\n"),
    ],
)
def test_ambiguous_heads_are_rejected(name: str, head: bytes) -> None:
    """No form that two readers could frame differently passes."""
    data = b"POST / HTTP/1.1\r\nHost: shop\r\n" + head + b"\r\n0\r\n\r\n"
    assert rejection(data) == "malformed_request", name


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bare line feeds", b"GET / HTTP/1.1\nHost: a\n\n"),
        ("a bare line feed at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ("space before the first header", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        ("an absolute target", b"GET http://shop/ HTTP/1.1\r\nHost: shop\r\n\r\n"),
        ("an asterisk", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an authority", b"CONNECT shop:80 HTTP/1.1\r\nHost: shop\r\n\r\n"),
        ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a raw byte in the target", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a control in the target", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a tab in the line", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an unknown method", b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a method in lower case", b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no host", b"GET / HTTP/1.1\r\n\r\n"),
        ("an empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ("chunks in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01"),
    ],
)
def test_malformed_requests_are_rejected(name: str, data: bytes) -> None:
    """What is no plain HTTP/1.1 request is refused with 400."""
    assert rejection(data) == "malformed_request", name


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"g\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"3;a\nabc\r\n0\r\n\r\n",
        b"3;a=\x00\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcX0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
    ],
)
def test_malformed_chunks_are_rejected(chunks: bytes) -> None:
    """Chunk sizes and their ends are read strictly."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert rejection(head + chunks) == "malformed_request"


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/3.0"])
def test_other_versions_are_named(version: bytes) -> None:
    """A version that is not spoken here has a status of its own."""
    assert rejection(b"GET / " + version + b"\r\nHost: a\r\n\r\n") == "http_version_not_supported"


def test_the_preface_of_http_2_is_a_version() -> None:
    """HTTP/2 with prior knowledge is told the version, not a syntax error."""
    assert rejection(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == "http_version_not_supported"


def test_a_request_before_a_malformed_one_is_kept() -> None:
    """What was complete is still answered; the rejection comes after it, and is the end."""
    parser = RequestParser(API())
    request, last = parser.feed(GET + b"nonsense\r\n\r\n")
    assert isinstance(request, Request)
    assert isinstance(last, Rejection)
    assert parser.feed(GET) == []


def test_a_reason_never_repeats_what_was_sent() -> None:
    """The detail of a rejection is a fixed sentence."""
    item = only(b"GET / HTTP/1.1\r\nHost: a\r\nX: 4242424242424242\rb\r\n\r\n")
    assert isinstance(item, Rejection)
    assert "4242" not in item.detail


# Limits.

SMALL = API(request_line_bytes_max=64, header_bytes_max=128, body_bytes_max=32)


def test_a_target_at_the_limit_passes_and_one_over_it_does_not() -> None:
    """The request line has an exact bound."""
    for length, code in ((48, None), (49, "uri_too_long")):
        item = only(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * (length - 1)), SMALL)
        assert (item.code if isinstance(item, Rejection) else None) == code


def test_headers_at_the_limit_pass_and_over_it_do_not() -> None:
    """The header has an exact bound, whatever came before it in the same read."""
    for length, rejected in ((128 - 9 - 5, False), (128 - 9 - 4, True)):
        head = b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * length)
        *_, item = parse(GET + head, SMALL)
        assert isinstance(item, Rejection) == rejected
        assert not isinstance(item, Rejection) or item.code == "header_fields_too_large"


def test_ten_thousand_header_bytes_pass() -> None:
    """The default limit leaves room for real proxies."""
    item = only(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: %b\r\n\r\n" % (b"x" * 10_000))
    assert isinstance(item, Request)


def test_too_many_header_fields_are_rejected() -> None:
    """Many small headers are bounded too."""
    fields = b"".join(b"X%d: 1\r\n" % number for number in range(HEADER_FIELDS_MAX))
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
    assert rejection(data) == "header_fields_too_large"


@pytest.mark.parametrize("part", [b"x", b"x" * 50])
def test_an_endless_head_is_cut_off(part: bytes) -> None:
    """A head that never ends does not fill memory."""
    parser = RequestParser(SMALL)
    parser.feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    fed = 0
    while not (items := parser.feed(part)):
        fed += len(part)
        assert fed <= 64 + 128 + len(part)
    assert items == [Rejection("header_fields_too_large", "")]


def test_an_endless_target_is_cut_off() -> None:
    """Neither does a request line."""
    parser = RequestParser(SMALL)
    parser.feed(b"GET /")
    items = [item for _ in range(100) for item in parser.feed(b"x")]
    assert items == [Rejection("uri_too_long", "")]


def test_a_long_body_is_rejected_before_it_is_sent() -> None:
    """A declared length over the limit is refused with the head."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n"
    assert rejection(head, SMALL) == "payload_too_large"
    assert parse(head.replace(b"33", b"32"), SMALL) == []


def test_a_long_chunked_body_is_rejected_when_it_gets_there() -> None:
    """A body without a declared length is counted."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    fits = head + b"20\r\n" + b"x" * 32 + b"\r\n0\r\n\r\n"
    assert isinstance(only(fits, SMALL), Request)
    assert rejection(head + b"21\r\n" + b"x" * 33, SMALL) == "payload_too_large"


def test_chunk_extensions_cannot_be_used_to_send_for_ever() -> None:
    """Bytes that carry no body are bounded as well."""
    parser = RequestParser(SMALL)
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;")
    for _ in range(20):
        if items := parser.feed(b"x" * 32):
            break
    assert items == [Rejection("payload_too_large", "the chunks carry too little")]


def test_one_byte_chunks_of_a_whole_body_pass() -> None:
    """The bound on overhead does not hit the most wasteful honest client."""
    body = b"1\r\nx\r\n" * 32 + b"0\r\n\r\n"
    parser = RequestParser(SMALL)
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    items = [item for byte in body for item in parser.feed(bytes([byte]))]
    assert len(items) == 1
    assert isinstance(items[0], Request)


# Expect.

EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n"


def test_an_expectation_is_seen_while_the_body_is_awaited() -> None:
    """The shell can tell that it should send 100 Continue, and when that is over."""
    parser = RequestParser(API())
    parser.feed(EXPECTING % 1)
    awaited = parser.continue_awaited
    parser.feed(b"x")
    assert (awaited, parser.continue_awaited) == (True, False)


def test_no_expectation_without_a_body_or_in_http_1_0() -> None:
    """Nothing is expected where nothing is to be continued."""
    parser = RequestParser(API())
    parser.feed(EXPECTING % 0)
    old = RequestParser(API())
    old.feed((EXPECTING % 1).replace(b"1.1", b"1.0"))
    assert (parser.continue_awaited, old.continue_awaited) == (False, False)


def test_other_expectations_fail() -> None:
    """Only 100-continue is known."""
    data = (EXPECTING % 1).replace(b"100-Continue", b"200-ok")
    assert rejection(data) == "expectation_failed"


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail(data: bytes) -> None:
    """Whatever arrives, the parser answers with requests or one rejection at the end."""
    parser = RequestParser(SMALL)
    items = parser.feed(data) + parser.feed(data[::-1]) + parser.feed(GET)
    assert all(isinstance(item, Request) for item in items[:-1])


@given(st.lists(st.sampled_from([GET, POST, CHUNKED, UPGRADE, b"\r\n", b"0\r\n\r\n"])), st.data())
def test_cutting_never_changes_the_meaning(parts: list[bytes], data: st.DataObject) -> None:
    """Two cuts anywhere in a stream of good and bad parts give what the whole gives."""
    stream = b"".join(parts)
    first = data.draw(st.integers(0, len(stream)))
    second = data.draw(st.integers(first, len(stream)))
    parser = RequestParser(API())
    items = parser.feed(stream[:first]) + parser.feed(stream[first:second])
    assert items + parser.feed(stream[second:]) == parse(stream)
