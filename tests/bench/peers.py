"""Peers that are measured beside ours, where they are installed: cfssl (Debian 13, golang-cfssl).

Each works with its own keys and files in a folder of its own, and listens on loopback.
"""

import contextlib
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import time

# As cfssl's own migrations make it (certdb/sqlite/migrations, certdb/pg/migrations).
CERTIFICATES = """
CREATE TABLE certificates (
    serial_number {bytes} NOT NULL, authority_key_identifier {bytes} NOT NULL, ca_label {bytes}, status {bytes} NOT NULL,
    reason int, expiry {time}, revoked_at {time}, pem {bytes} NOT NULL, issued_at {time}, not_before {time},
    metadata {json}, sans {json}, common_name text, PRIMARY KEY (serial_number, authority_key_identifier));
"""


def cfssl_is_here():
    return all(shutil.which(program) for program in ("cfssl", "cfssljson"))


class Cfssl:
    """A CA of cfssl's with a P-256 key, for what is compared with it."""

    def __init__(self, folder):
        self.folder = folder / "cfssl"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        request = {"CN": "peer", "key": {"algo": "ecdsa", "size": 256}}
        self.make("ca", ["gencert", "-initca", "-"], request)

    def make(self, name, command, request=None):
        """Runs a command of cfssl's that makes a key or certificate, and has it written to files of this name."""
        made = self.run(*command, given=json.dumps(request) if request else None)
        subprocess.run(["cfssljson", "-bare", name], cwd=self.folder, input=made, check=True, capture_output=True)

    def run(self, *arguments, given=None):
        return subprocess.run(["cfssl", *arguments], cwd=self.folder, input=given and given.encode(), check=True,
                              capture_output=True).stdout

    @contextlib.contextmanager
    def signing(self, port, server=None):
        """Signs what comes to /api/v1/cfssl/sign, and records it in SQLite with the durability that ours has, or on a server."""
        if server:
            server.statements(server.database("cfssl"), CERTIFICATES.format(bytes="bytea", time="timestamptz", json="jsonb"))
            settings = {"driver": "postgres", "data_source": f"host={server.folder} user=postgres dbname=cfssl sslmode=disable"}
        else:
            database = self.folder / "certificates.db"
            with contextlib.closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(CERTIFICATES.format(bytes="blob", time="timestamp", json="text"))
            settings = {"driver": "sqlite3", "data_source": f"file:{database}?_journal_mode=WAL&_synchronous=FULL"}
        (self.folder / "database.json").write_text(json.dumps(settings))
        with self.listening(port, "serve", "-ca", "ca.pem", "-ca-key", "ca-key.pem", "-db-config", "database.json"):
            yield f"http://127.0.0.1:{port}/api/v1/cfssl/sign"

    @contextlib.contextmanager
    def answering(self, port):
        """Answers OCSP requests for one certificate from a response that was signed before; gives the request's file."""
        self.make("leaf", ["gencert", "-ca", "ca.pem", "-ca-key", "ca-key.pem", "-"],
                  {"CN": "leaf", "key": {"algo": "ecdsa", "size": 256}})
        signed = self.run("ocspsign", "-ca", "ca.pem", "-responder", "ca.pem", "-responder-key", "ca-key.pem", "-cert", "leaf.pem")
        (self.folder / "responses").write_text(json.loads(signed)["ocspResponse"])
        request = self.folder / "request"
        subprocess.run(["openssl", "ocsp", "-issuer", "ca.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", request],
                       cwd=self.folder, check=True, capture_output=True)
        with self.listening(port, "ocspserve", "-responses", "responses"):
            yield f"http://127.0.0.1:{port}/", request

    def crl_command(self, serials):
        """The command that makes a list of these serial numbers."""
        (self.folder / "serials").write_text("".join(f"{int(serial, 16)}\n" for serial in serials))
        return ["sh", "-c", f"cd {self.folder} && cfssl gencrl serials ca.pem ca-key.pem > list"]

    @contextlib.contextmanager
    def listening(self, port, *command):
        peer = subprocess.Popen(["cfssl", *command, "-address", "127.0.0.1", "-port", str(port), "-loglevel", "5"],
                                cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while True:
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                    break
                if peer.poll() is not None:
                    sys.exit(f"cfssl {command[0]} does not start: exit code {peer.returncode}")
                time.sleep(0.02)
            yield
        finally:
            peer.terminate()
            peer.wait()
