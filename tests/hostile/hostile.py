"""Handshakes that nobody should make, one connection each: hostile.py EDGE_PORT METRICS_PORT

An expected `a|b` is an alert that the end of the connection may overtake; in TLS 1.3 an alert behind the hello is sealed, and is a close
from here. Where TLS names another alert than the edge's library sends, what it sends is written down: 50 for most of what it cannot read.

After each the edge must answer as expected, serve a healthy client, and have counted one end more for the case and one for
that client. One line a case; exit code 1 if any is not as expected.
"""

import os
import socket
import ssl
import struct
import sys
import time
import urllib.request

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.messages import Message

EDGE, METRICS = int(sys.argv[1]), int(sys.argv[2])
NAME = b"api.example.com"


def u8(data):
    return struct.pack("!B", len(data)) + data


def u16(data):
    return struct.pack("!H", len(data)) + data


def record(kind, data, version=0x0303, length=None):
    return struct.pack("!BHH", kind, version, len(data) if length is None else length) + data


def message(kind, body, length=None):
    return struct.pack("!I", (kind << 24) | (len(body) if length is None else length)) + body


def ext(kind, data):
    return struct.pack("!H", kind) + u16(data)


SNI = ext(0, u16(b"\0" + u16(NAME)))
GROUPS = ext(10, u16(struct.pack("!HH", 29, 23)))
POINTS = ext(11, b"\1\0")
SIGS = ext(13, u16(struct.pack("!HHH", 0x0403, 0x0804, 0x0401)))
VERSIONS = ext(43, b"\2\3\4")
SHARE = ext(51, u16(struct.pack("!H", 29) + u16(b"\x09" + 31 * b"\0")))
MODES = ext(45, b"\1\1")
EMS = ext(23, b"")
BASE = [SNI, GROUPS, POINTS, SIGS, EMS, MODES]
MODERN = BASE + [VERSIONS, SHARE]
SUITES = bytes.fromhex("130113021303c02bc02fcca9cca800ff")


def body(exts=MODERN, suites=SUITES, version=0x0303, session=b"\x20" + 32 * b"\7", compression=b"\1\0", tail=b"", extlen=None):
    block = b"".join(exts)
    start = struct.pack("!H", version) + 32 * b"\x55" + session + u16(suites) + compression
    return start + struct.pack("!H", len(block) if extlen is None else extlen) + block + tail


def hello(**options):
    return record(22, message(1, body(**options)), 0x0301)


def without(kind, exts=MODERN):
    return [e for e in exts if struct.unpack("!H", e[:2])[0] != kind]


def swap(kind, new):
    return without(kind) + [new]


OLD = without(43, without(51))
PSK = ext(41, u16(u16(64 * b"t") + b"\0\0\0\1") + u16(u8(32 * b"b")))
CCS = record(20, b"\1")
WARNING = record(21, b"\1\x5a")


def raw(*parts):
    """Sends the parts; the first thing that comes back, and what ends the connection."""

    def run():
        with socket.create_connection(("127.0.0.1", EDGE)) as s:
            s.settimeout(20)
            try:
                for part in parts:
                    s.sendall(part)
            except OSError:
                pass
            return ends(s)

    return run


def ends(s):
    seen, data = "", b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                break
            data += more
    except ConnectionError:
        pass
    while len(data) >= 5:
        kind, _, length = struct.unpack("!BHH", data[:5])
        part, data = data[5 : 5 + length], data[5 + length :]
        if kind == 21 and len(part) == 2:
            return f"{seen}alert {part[1]}"
        if kind == 22 and part[:1] == b"\2":
            retry = part[6:38].hex().startswith("cf21ad74e59a6111")
            seen = "retry, " if retry else "hello, "
    return seen + "close"


def session(version, act):
    """A whole handshake by tlslite-ng, then something that does not belong there."""

    def run():
        s = socket.create_connection(("127.0.0.1", EDGE))
        s.settimeout(20)
        connection = TLSConnection(s)
        settings = HandshakeSettings()
        settings.minVersion = settings.maxVersion = version
        connection.handshakeClientCert(settings=settings, serverName=NAME.decode())
        try:
            act(connection, s)
        except OSError:
            pass
        # An alert in a session is sealed: that it is the end is what can be seen from outside of the library.
        try:
            while s.recv(65536):
                pass
        except ConnectionError:
            pass
        s.close()
        return "session, close"

    return run


def send(kind, data, times=1):
    def act(connection, _):
        for _ in range(times):
            for _ in connection._recordLayer.sendRecord(Message(kind, bytearray(data))):
                pass

    return act


def plain(data):
    return lambda _, s: s.sendall(data)


TLS12, TLS13 = (3, 3), (3, 4)
CASES = [
    # Records.
    ("record of an unknown type", raw(record(99, b"x")), "close"),
    ("application data first", raw(record(23, b"x" * 20)), "close"),
    ("alert first", raw(WARNING), "close"),
    ("change cipher spec first", raw(CCS), "close"),
    ("heartbeat first", raw(record(24, b"\1\x40\0" + 16 * b"x")), "close"),
    ("hello in SSLv2", raw(bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0") + 16 * b"c"), "close"),
    ("record of no bytes", raw(record(22, b""), hello()), "alert 50"),
    ("flood of records of no bytes", raw(record(22, b"") * 1000), "alert 50"),
    ("record over 2^14 bytes", raw(record(22, message(1, 20000 * b"x"), length=18000)), "alert 50"),
    ("record of another protocol version", raw(record(22, message(1, body()), 0x0505)), "alert 50"),
    # Messages before a hello.
    ("server hello first", raw(record(22, message(2, body()))), "alert 10"),
    ("certificate first", raw(record(22, message(11, b"\0\0\0\0"))), "alert 10"),
    ("finished first", raw(record(22, message(20, 12 * b"f"))), "alert 10"),
    ("key update first", raw(record(22, message(24, b"\0"))), "alert 10"),
    ("message of an unknown type", raw(record(22, message(77, b"x"))), "alert 10"),
    # A hello that cannot be read.
    ("hello of no bytes", raw(record(22, message(1, b""))), "alert 50"),
    ("hello cut in its random", raw(record(22, message(1, body()[:20]))), "alert 50"),
    ("hello cut in its suites", raw(record(22, message(1, body()[:70]))), "alert 50"),
    ("extensions longer than the hello", raw(hello(extlen=5000)), "alert 50"),
    ("extensions shorter than they are", raw(hello(extlen=3)), "alert 50"),
    ("bytes behind the extensions", raw(hello(tail=b"tail")), "alert 50"),
    ("session identifier of 33 bytes", raw(hello(session=b"\x21" + 33 * b"s")), "alert 50"),
    ("message of 16 MiB", raw(record(22, message(1, 1000 * b"x", length=0xFFFFFF))), "alert 50|close"),
    ("odd number of bytes of suites", raw(hello(suites=b"\x13\1\x13")), "alert 50"),
    ("no suites", raw(hello(suites=b"")), "alert 50"),
    ("no compression", raw(hello(compression=b"\0")), "alert 50"),
    # A hello with nothing in common, or with contradictions.
    ("compression without null", raw(hello(compression=b"\1\1")), "alert 47"),
    ("unknown suites alone", raw(hello(suites=b"\xfa\xfa\0\5")), "alert 40"),
    ("SSLv3", raw(hello(exts=[], version=0x0300)), "alert 70"),
    ("TLS 1.1", raw(hello(exts=OLD, version=0x0302)), "alert 70"),
    ("TLS 1.0 in the list of versions alone", raw(hello(exts=swap(43, ext(43, b"\2\3\1")))), "alert 70"),
    ("empty list of versions", raw(hello(exts=swap(43, ext(43, b"\0")))), "alert 50"),
    ("server name twice", raw(hello(exts=MODERN + [SNI])), "alert 50"),
    ("unknown extension twice", raw(hello(exts=MODERN + 2 * [ext(0xFAFA, b"")])), "alert 50"),
    ("server name of no bytes", raw(hello(exts=swap(0, ext(0, u16(b"\0\0\0"))))), "alert 50"),
    ("unknown groups alone", raw(hello(exts=swap(10, ext(10, u16(b"\xfa\xfa"))))), "alert 40"),
    ("no groups beside a share", raw(hello(exts=without(10))), "alert 40"),
    ("empty list of groups", raw(hello(exts=swap(10, ext(10, b"\0\0")))), "alert 50"),
    ("no signature algorithms", raw(hello(exts=without(13))), "alert 40"),
    ("unknown signature algorithms alone", raw(hello(exts=swap(13, ext(13, u16(b"\xfa\xfa"))))), "hello, close"),
    ("no key share extension", raw(hello(exts=without(51))), "alert 40"),
    ("share of one byte", raw(hello(exts=swap(51, ext(51, u16(b"\0\x1d" + u16(b"x")))))), "alert 47"),
    ("share of the point at infinity", raw(hello(exts=swap(51, ext(51, u16(b"\0\x1d" + u16(32 * b"\0")))))), "alert 47"),
    ("share not on the curve", raw(hello(exts=without(10, without(51)) + [ext(10, u16(b"\0\x17")), ext(51, u16(b"\0\x17" + u16(b"\4" + 64 * b"\1")))])), "alert 47"),
    ("two shares of one group", raw(hello(exts=swap(51, ext(51, u16(2 * SHARE[6:]))))), "alert 47"),
    ("post-quantum share cut short", raw(hello(exts=without(51, swap(10, ext(10, u16(b"\x11\xec")))) + [ext(51, u16(b"\x11\xec" + u16(40 * b"x")))])), "alert 47"),
    # Pre-shared keys and early data.
    ("pre-shared key before the last extension", raw(hello(exts=without(51) + [PSK, SHARE])), "alert 50"),
    ("more binders than keys", raw(hello(exts=MODERN + [ext(41, u16(u16(64 * b"t") + b"\0\0\0\1") + u16(2 * u8(32 * b"b")))])), "alert 47"),
    ("pre-shared key without a mode", raw(hello(exts=without(45) + [PSK])), "alert 109"),
    # A handshake that begins well.
    ("another hello instead of an end", raw(hello(), hello()), "hello, close"),
    ("application data in the clear after the hello", raw(hello(), record(23, 40 * b"x")), "hello, close"),
    ("sealed garbage after the hello", raw(hello(), CCS, record(23, os.urandom(60))), "hello, close"),
    ("flood of change cipher spec", raw(hello(), CCS * 200), "hello, close"),
    ("change cipher spec of another value", raw(hello(), record(20, b"\2")), "hello, close"),
    ("flood of warnings", raw(hello(exts=OLD), WARNING * 200), "hello, alert 10|hello, close"),
    ("finished before keys in TLS 1.2", raw(hello(exts=OLD), record(22, message(20, 12 * b"f"))), "hello, alert 10|hello, close"),
    ("change cipher spec before keys in TLS 1.2", raw(hello(exts=OLD), CCS), "hello, alert 10|hello, close"),
    ("key exchange of no bytes in TLS 1.2", raw(hello(exts=OLD), record(22, message(16, b""))), "hello, alert 50|hello, close"),
    ("key exchange with a bad point in TLS 1.2", raw(hello(exts=OLD), record(22, message(16, u8(32 * b"\0")))), "hello, alert 47|hello, close"),
    ("fatal alert of the client", raw(hello(), record(21, b"\2\x28")), "hello, close"),
    # Sessions.
    ("renegotiation in TLS 1.3", session(TLS13, send(22, message(1, body()))), "session, close"),
    ("server hello in a session", session(TLS13, send(22, message(2, body()))), "session, close"),
    ("key update of an unknown kind", session(TLS13, send(22, message(24, b"\7"))), "session, close"),
    ("key update and more in its record", session(TLS13, send(22, message(24, b"\0") + b"\x18")), "session, close"),
    ("finished twice", session(TLS13, send(22, message(20, 48 * b"f"))), "session, close"),
    ("heartbeat in a session", session(TLS13, send(24, b"\1\x40\0" + 16 * b"x")), "session, close"),
    ("record that does not open in TLS 1.3", session(TLS13, plain(record(23, 50 * b"x"))), "session, close"),
    ("record that does not open in TLS 1.2", session(TLS12, plain(record(23, 50 * b"x"))), "session, close"),
    ("flood of warnings in TLS 1.2", session(TLS12, send(21, b"\1\x5a", 50)), "session, close"),
    ("flood of renegotiations in TLS 1.2", session(TLS12, send(22, message(1, body(exts=OLD)), 50)), "session, close"),
]


def counts():
    page = urllib.request.urlopen(f"http://127.0.0.1:{METRICS}/metrics", timeout=20).read().decode()
    lines = [line.rsplit(" ", 1) for line in page.splitlines()]
    ended = {k.split('result="')[1][:-2]: int(v) for k, v in lines if k.startswith("ravelin_edge_connections_total{")}
    still = next(int(v) for k, v in lines if k.startswith("ravelin_edge_open_connections{"))
    return ended, still


def settled(total):
    """The counts once nothing is open and so many connections have ended."""
    until = time.monotonic() + 30
    while True:
        ended, still = counts()
        if (still == 0 and sum(ended.values()) >= total) or time.monotonic() > until:
            return ended
        time.sleep(0.01)


def healthy():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", EDGE), timeout=20) as s:
        with context.wrap_socket(s, server_hostname=NAME.decode()) as tls:
            tls.sendall(b"ping")
            return tls.recv(4) == b"ping"


wrong = 0
for name, run, expected in CASES:
    before = sum(counts()[0].values())
    try:
        got = run()
    except Exception as error:  # A case that does not run is not as expected.
        got = f"{type(error).__name__}: {error}"
    first = settled(before + 1)
    served = healthy()
    after = sum(settled(before + 2).values())
    as_expected = got in expected.split("|") and served and sum(first.values()) == before + 1 and after == before + 2
    wrong += not as_expected
    print(f"{'ok' if as_expected else 'WRONG':<6}{name:<48}{got:<22}" + ("" if as_expected else f"expected {expected}, served {served}, {after - before} ends"))
print(f"{len(CASES)} cases, {wrong} not as expected")
sys.exit(wrong > 0)
