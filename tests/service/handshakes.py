"""Handshakes that are wrong, made with tlslite-ng: the service refuses each by an alert and answers the next caller.

    handshakes.py FOLDER PUBLIC SECURE

FOLDER holds root.pem, pairs NAME.crt.pem and NAME.key.pem, and the path that disables the manager `leaving`; PUBLIC and
SECURE are the listeners' ports on loopback. One line a case; exit code 1 where one came out otherwise.
"""

import http.client
import contextlib
import socket
import ssl
import sys
from pathlib import Path

from tlslite.api import (HandshakeSettings, TLSAbruptCloseError, TLSConnection, TLSRemoteAlert, X509CertChain,
                         parsePEMKey)
from tlslite.constants import AlertDescription, CipherSuite, ContentType, HandshakeType
from tlslite.extensions import TLSExtension
from tlslite.messages import ChangeCipherSpec, ClientHello, KeyUpdate, Message

HOST = "enroll.ptc.example"
PATIENCE = 20
SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)
NAMES = {SSL_3_0: "SSL 3.0", TLS_1_0: "TLS 1.0", TLS_1_1: "TLS 1.1", TLS_1_2: "TLS 1.2", TLS_1_3: "TLS 1.3"}
# What everybody may see, and what managers may.
SERVICE, REQUESTS = "/api/v1/service", "/api/v1/manager/requests"
# What a server says to a certificate that it does not take depends on the version (RFC 8446 §4.4.2.4, RFC 5246 §7.4.6).
NO_CERTIFICATE = {TLS_1_2: {"certificate_required", "handshake_failure"}, TLS_1_3: {"certificate_required"}}


class Client(TLSConnection):
    """A connection whose messages are changed on their way out: `change` gives what is sent in the place of each."""

    def __init__(self, port, change=lambda message: [message]):
        super().__init__(connect(port))
        self.change = change

    def _sendMsg(self, message, *arguments, **named):
        for sent in self.change(message):
            yield from super()._sendMsg(sent, *arguments, **named)

    def send_message(self, message):
        """Sends a message now, as it is."""
        for _ in super()._sendMsg(message, update_hashes=False):
            pass

    def send_raw(self, record):
        """Sends bytes that no record layer made."""
        self.sock.socket.sendall(record)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def settings(version, **changes):
    made = HandshakeSettings()
    made.minVersion = min(version, made.maxVersion)
    made.maxVersion = version
    # This library compresses its certificate whether or not the server takes that (RFC 8879 §4).
    made.certificate_compression_send = made.certificate_compression_receive = []
    for (name, value) in changes.items():
        setattr(made, name, value)
    return made


class Identity:
    """A certificate with its issuers, and a key that belongs to it or does not."""

    def __init__(self, folder, name, key=None):
        self.chain = X509CertChain()
        self.chain.parsePemList((folder / f"{name}.crt.pem").read_text())
        self.key = parsePEMKey((folder / f"{key or name}.key.pem").read_text(), private=True)


def handshake(client, version, identity=None, session=None, **changes):
    client.handshakeClientCert(identity and identity.chain, identity and identity.key, session=session,
                               settings=settings(version, **changes), serverName=HOST)


def request(path=SERVICE, method="GET", closing=True):
    ending = "connection: close\r\n" if closing else ""
    return f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\n{ending}content-length: 0\r\n\r\n".encode()


def outcome(act):
    """The status that a request was answered with, the alert, `closed`, or `nothing` where there is no end."""
    try:
        return act()
    except TLSRemoteAlert as alert:
        return AlertDescription.toRepr(alert.description)
    except TimeoutError:
        return "nothing"
    except (TLSAbruptCloseError, OSError):
        # The library closes its end where it meets a reset while it sends.
        return "closed"


def answer(client, path=SERVICE, closing=True):
    """The status of a request on an open connection."""
    client.write(request(path, closing=closing))
    return status(client)


def status(client):
    head = bytearray()
    while b"\r\n\r\n" not in head:
        received = client.read(max=4096)
        if not received:
            return "closed"
        head += received
    return head.split()[1].decode()


def asked(port, version, identity=None, change=lambda message: [message], **changes):
    """What a whole connection comes to; somebody with a certificate asks for what managers may see."""
    client = Client(port, change)

    def act():
        handshake(client, version, identity, **changes)
        return answer(client, REQUESTS if identity else SERVICE)
    return outcome(act)


def raw(port, *records):
    """What bytes that are no handshake come to: the first alert, or `closed`."""
    with connect(port) as stream:
        with contextlib.suppress(OSError):
            for content in records:
                stream.sendall(content)
            stream.shutdown(socket.SHUT_WR)
        received = bytearray()
        while True:
            try:
                part = stream.recv(65536)
            except ConnectionError:
                break
            if not part:
                break
            received += part
    while len(received) >= 5:
        (kind, length) = (received[0], int.from_bytes(received[3:5], "big"))
        if kind == ContentType.alert and length == 2:
            return AlertDescription.toRepr(received[6])
        if kind == ContentType.handshake and received[5] == HandshakeType.server_hello:
            return "server_hello"
        received = received[5 + length:]
    return "closed"


def is_handshake(message, kind):
    return message.contentType == ContentType.handshake and message.write()[0] == kind


def instead(kind, make):
    """Changes the handshake messages of a kind."""
    return lambda message: make(message) if is_handshake(message, kind) else [message]


def flipped(message):
    """One bit of the last byte is another."""
    content = bytearray(message.write())
    content[-1] ^= 1
    return [Message(ContentType.handshake, content)]


def hello(version=TLS_1_2, **changes):
    """The bytes of a ClientHello that a client of this library sends."""
    sent = []

    class Stop(Exception):
        pass

    def keep(message):
        sent.append(bytes(message.write()))
        raise Stop
    # The message is made before anything is sent; the connection only has to be there.
    (here, there) = socket.socketpair()
    with here, there:
        client = TLSConnection(here)
        client._sendMsg = lambda message, *_, **__: keep(message)
        try:
            client.handshakeClientCert(settings=settings(version, **changes), serverName=HOST)
        except Stop:
            pass
    return sent[0]


def record(content, kind=ContentType.handshake):
    return bytes([kind, 3, 1]) + len(content).to_bytes(2, "big") + content


def edit(**fields):
    """Changes fields of the ClientHello."""
    def make(message):
        for (name, value) in fields.items():
            setattr(message, name, value)
        return [message]
    return instead(HandshakeType.client_hello, make)


def extended(kind, content, times=1):
    """Adds extensions to the ClientHello."""
    def make(message):
        # Before the last one, whose place is fixed where it is a pre-shared key.
        for _ in range(times):
            message.extensions.insert(0, TLSExtension(extType=kind).create(kind, bytearray(content)))
        return [message]
    return instead(HandshakeType.client_hello, make)


def of_connections(public, secure):
    """Versions, suites, compression and records, which are the same for everybody."""
    for port in (public, secure):
        which = "public" if port == public else "secure"
        for version in (SSL_3_0, TLS_1_0, TLS_1_1):
            yield (f"{NAMES[version]}, {which}", asked(port, version), {"protocol_version", "handshake_failure"})
            yield (f"{NAMES[version]} with what later versions have, {which}",
                   asked(port, TLS_1_2, change=edit(client_version=version)), {"protocol_version"})
        yield (f"SSL 2.0, {which}", raw(port, bytes.fromhex("802e0100020015000000100100800200800300800400800500800600"
                                                          "4007 00c0 0102030405060708090a0b0c0d0e0f10".replace(" ", ""))),
               {"decode_error", "protocol_version", "unexpected_message", "record_overflow", "closed"})
        weak = [CipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA, CipherSuite.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
                CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256,
                CipherSuite.TLS_RSA_WITH_RC4_128_MD5, CipherSuite.TLS_ECDH_ANON_WITH_AES_128_CBC_SHA]
        yield (f"weak suites only, {which}", asked(port, TLS_1_2, change=edit(cipher_suites=weak)), {"handshake_failure"})
        for version in (TLS_1_2, TLS_1_3):
            yield (f"compression only, {NAMES[version]}, {which}",
                   asked(port, version, change=edit(compression_methods=[1])), {"illegal_parameter", "decode_error"})
    for version in (TLS_1_2, TLS_1_3):
        name = NAMES[version]
        yield (f"nothing wrong, {name}", asked(public, version), {"200"})
        yield (f"an extension twice, {name}", asked(public, version, change=extended(0x5a5a, b"", times=2)),
               {"decode_error", "illegal_parameter"})
        yield (f"a ClientHello of 40 KB, {name}", asked(public, version, change=extended(0x5a5a, bytes(40_000))), {"200"})
        yield (f"Finished with another bit, {name}",
               asked(public, version, change=instead(HandshakeType.finished, flipped)), {"decrypt_error"})
        yield (f"a certificate that nobody asked for, {name}", asked(public, version, change=unasked(version)),
               {"unexpected_message"})
        for (what, made, expected) in [
            ("a record with another bit", lambda client: client.send_raw(sealed_wrongly()), {"bad_record_mac"}),
            ("a record without encryption", lambda client: client.send_raw(record(request(), 23)),
             {"bad_record_mac", "decode_error", "decrypt_error"}),
            # rustls says the more general word for what RFC 8446 §5.2 calls record_overflow.
            ("an endless record", lambda client: client.send_raw(b"\x17\x03\x03\xff\xff" + bytes(0xffff)),
             {"record_overflow", "decode_error"}),
            ("an unknown content type", lambda client: client.send_raw(record(b"x", 99)),
             {"decode_error", "unexpected_message"}),
            ("a heartbeat", lambda client: client.send_message(Message(24, bytearray(b"\1\x40\0"))),
             {"decode_error", "unexpected_message"}),
            ("a ClientHello of its own accord", lambda client: client.send_message(Message(22, bytearray(hello(version)))),
             # TLS 1.2 may go on without a new handshake (RFC 5246 §7.2.2), TLS 1.3 knows none (RFC 8446 §4.1.2).
             {"no_renegotiation", "unexpected_message"} if version == TLS_1_2 else {"unexpected_message"}),
            ("Finished again", lambda client: client.send_message(Message(22, bytearray(b"\x14\0\0\x0c" + bytes(12)))),
             {"unexpected_message"}),
            ("warnings without end", lambda client: flood(client, Message(21, bytearray(b"\1\x5a"))),
             {"decode_error", "unexpected_message", "closed"}),
            ("empty records without end", lambda client: flood(client, Message(23, bytearray())),
             # Where the alert overtakes nothing, HTTP has its say too.
             {"unexpected_message", "decode_error", "closed", "400"}),
        ]:
            yield (f"{what}, {name}", after(public, version, made), expected)
        yield (f"an empty record before a request, {name}",
               after(public, version, lambda client: client.send_message(Message(23, bytearray())), then=request()), {"200"})
    yield ("Finished left out, TLS 1.3", asked(public, TLS_1_3, change=instead(HandshakeType.finished, lambda _: [])),
           {"bad_record_mac"})
    yield ("new keys without end, TLS 1.3", after(public, TLS_1_3, lambda client: flood(client, KeyUpdate().create(1))),
           {"unexpected_message", "decode_error", "closed"})
    early = instead(HandshakeType.client_key_exchange, lambda message: [ChangeCipherSpec(), message])
    yield ("ChangeCipherSpec before the keys, TLS 1.2", asked(public, TLS_1_2, change=early), {"unexpected_message"})
    left_out = instead(HandshakeType.client_key_exchange, lambda message: [])
    yield ("ClientKeyExchange left out, TLS 1.2", asked(public, TLS_1_2, change=left_out), {"unexpected_message"})
    point = instead(HandshakeType.client_key_exchange, lambda _: [Message(22, bytearray(b"\x10\0\0\x42\x41\x04" + bytes(64)))])
    yield ("a point that is on no curve, TLS 1.2",
           asked(public, TLS_1_2, change=point, keyShares=["secp256r1"], eccCurves=["secp256r1"]),
           {"illegal_parameter", "decode_error", "decrypt_error", "handshake_failure"})
    yield ("no key share at first, TLS 1.3", asked(public, TLS_1_3, keyShares=[]), {"200"})
    good = hello()
    yield ("a ClientHello byte by byte", raw(public, *[record(good[place:place + 1]) for place in range(len(good))]),
           {"server_hello"})
    for (what, records, expected) in [
        ("half a ClientHello", [record(good)[:len(good) // 2]], {"closed"}),
        ("a ClientHello twice", [record(good), record(good)], {"server_hello"}),
        ("an empty handshake record", [record(b""), record(good)], {"decode_error", "unexpected_message", "closed"}),
        ("a handshake message of 16 MB", [record(b"\1\xff\xff\xff" + good[4:])] + [record(bytes(16_000))] * 1_000,
         {"decode_error", "illegal_parameter", "record_overflow", "handshake_failure", "closed"}),
        ("a ClientHello with a session id of 255 bytes", [record(good[:38] + b"\xff" + good[39:])], {"decode_error"}),
        ("Finished at first", [record(b"\x14\0\0\x0c" + bytes(12))], {"unexpected_message"}),
        ("ChangeCipherSpec at first", [record(b"\1", 20)], {"unexpected_message", "closed"}),
        ("application data at first", [record(request(), 23)], {"unexpected_message"}),
        ("plain HTTP", [request()], {"decode_error", "unexpected_message", "record_overflow", "protocol_version"}),
        ("nothing", [], {"closed"}),
    ]:
        yield (what, raw(public, *records), expected)


def sealed_wrongly():
    return b"\x17\x03\x03\x00\x40" + bytes(0x40)


def flood(client, message):
    for _ in range(1_000):
        client.send_message(message)


def unasked(version):
    """A Certificate message of no certificates where it would stand had the server asked for one."""
    kind = HandshakeType.client_key_exchange if version == TLS_1_2 else HandshakeType.finished
    empty = b"\x0b\0\0\x03\0\0\0" if version == TLS_1_2 else b"\x0b\0\0\x04\0\0\0\0"
    return instead(kind, lambda message: [Message(22, bytearray(empty)), message])


def after(port, version, act, then=None):
    """What comes of something on a connection that is open already."""
    client = Client(port)

    def whole():
        handshake(client, version)
        act(client)
        if then:
            client.write(then)
        return status(client)
    return outcome(whole)


def of_certificates(folder, public, secure):
    """Client certificates at the secure listener."""
    manager = Identity(folder, "manager")
    for version in (TLS_1_2, TLS_1_3):
        name = NAMES[version]
        yield (f"a manager, {name}", asked(secure, version, manager), {"200"})
        yield (f"no certificate, {name}", asked(secure, version), NO_CERTIFICATE[version])
        for (who, expected) in [
            ("self-signed", {"unknown_ca"}),
            # Same names, other keys.
            ("foreign", {"unknown_ca", "decrypt_error", "bad_certificate"}),
            ("expired", {"certificate_expired"}),
            ("wrong-purpose", {"unsupported_certificate"}),
        ]:
            yield (f"{who}, {name}", asked(secure, version, Identity(folder, who)), expected)
        yield (f"a manager with the key of another, {name}",
               asked(secure, version, Identity(folder, "manager", key="leaving")), {"decrypt_error"})
        verify = HandshakeType.certificate_verify
        yield (f"CertificateVerify with another bit, {name}",
               asked(secure, version, manager, instead(verify, flipped)), {"decrypt_error", "decode_error"})
        yield (f"CertificateVerify left out, {name}",
               asked(secure, version, manager, instead(verify, lambda _: [])), {"unexpected_message"})
        yield (f"Certificate left out, {name}",
               asked(secure, version, manager, instead(HandshakeType.certificate, lambda _: [])),
               {"unexpected_message"})
        yield (f"a certificate that is none, {name}",
               asked(secure, version, manager, instead(HandshakeType.certificate, lambda _: [no_certificate(version)])),
               {"bad_certificate", "decode_error"})
    for version in (TLS_1_2, TLS_1_3):
        yield from of_resumption(folder, public, secure, version)
    yield from of_revocation(folder, secure)


def no_certificate(version):
    """A Certificate message with one certificate of five bytes, none of which is DER."""
    entry = b"\0\0\x05\xff\xff\xff\xff\xff" + (b"" if version == TLS_1_2 else b"\0\0")
    chain = len(entry).to_bytes(3, "big") + entry
    body = chain if version == TLS_1_2 else b"\0" + chain
    return Message(22, bytearray(b"\x0b" + len(body).to_bytes(3, "big") + body))


def of_resumption(folder, public, secure, version):
    """The secure listener gives nothing to resume with, and takes nothing that the public one gave."""
    name = NAMES[version]
    client = Client(secure)
    handshake(client, version, Identity(folder, "manager"))
    yield (f"a manager at work, {name}", outcome(lambda: answer(client, REQUESTS)), {"200"})
    session = client.session
    yield (f"sessions to resume, {name}", str(len(session.sessionID) + len(session.tickets or []) +
                                              len(session.tls_1_0_tickets or [])), {"0"})
    client = Client(public)
    handshake(client, version)
    answer(client)
    session = client.session
    # The public listener gives some, or the next case would say nothing.
    given = len(session.sessionID) + len(session.tickets or []) + len(session.tls_1_0_tickets or [])
    yield (f"something to resume from the public listener, {name}", str(given > 0), {"True"})
    for (port, where, expected) in [(public, "public", {"True, 200"}), (secure, "secure", NO_CERTIFICATE[version])]:
        def again(port=port):
            client = Client(port)
            handshake(client, version, session=session)
            status = answer(client)
            return f"{client.resumed}, {status}"
        yield (f"the same at the {where} listener, {name}", outcome(again), expected)


def of_revocation(folder, secure):
    """Who is disabled is out at the next request, whatever connection or session there was before."""
    leaving = Identity(folder, "leaving")
    connections = {}
    for version in (TLS_1_2, TLS_1_3):
        connections[version] = Client(secure)
        handshake(connections[version], version, leaving)
        yield (f"before the revocation, {NAMES[version]}",
               outcome(lambda: answer(connections[version], REQUESTS, closing=False)), {"200"})
    ptc = Client(secure)
    handshake(ptc, TLS_1_3, Identity(folder, "ptc"))
    ptc.write(request((folder / "disable").read_text(), "POST"))
    yield ("the PTC manager disables the account", outcome(lambda: status(ptc)), {"200"})
    for (version, client) in connections.items():
        yield (f"on the open connection, {NAMES[version]}",
               outcome(lambda: answer(client, REQUESTS)), {"401", "403"})

        def again():
            client = Client(secure)
            handshake(client, version, leaving, session=connections[version].session)
            status = answer(client, REQUESTS)
            return f"{client.resumed}, {status}"
        yield (f"with the session from before, {NAMES[version]}", outcome(again), {"False, 401", "False, 403"})


def answers(folder, public, secure):
    """Whether both listeners answer somebody who does nothing wrong: Python's own TLS."""
    context = ssl.create_default_context(cafile=folder / "root.pem")
    context.load_cert_chain(folder / "manager.crt.pem", folder / "manager.key.pem")
    for (port, path) in [(public, SERVICE), (secure, REQUESTS)]:
        with context.wrap_socket(connect(port), server_hostname=HOST) as stream:
            stream.sendall(request(path))
            if not stream.recv(64).startswith(b"HTTP/1.1 200"):
                return False
    return True


def main():
    (folder, public, secure) = (Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    failed = count = 0
    for cases in (of_connections(public, secure), of_certificates(folder, public, secure)):
        for (case, found, expected) in cases:
            good = found in expected and answers(folder, public, secure)
            verdict = "ok" if good else f"FAILED, expected {' or '.join(sorted(expected))}"
            print(f"{case}: {found}  {verdict}", flush=True)
            failed += not good
            count += 1
    print(f"{count} cases, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
