"""A PostgreSQL server for what is measured on one: in a temporary folder, reached by its socket only, as durable as it comes."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path


def postgres_is_here():
    return programs() is not None


def programs():
    """The folder of the newest server's programs, which Debian keeps out of the way."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda folder: int(folder.parent.name))


class Postgres:
    """A server that runs."""

    def __init__(self, folder):
        self.folder = folder

    def database(self, name):
        """Makes an empty database, in the place of one of that name."""
        self.run("dropdb", "--if-exists", "--host", self.folder, "--username", "postgres", name)
        self.run("createdb", "--host", self.folder, "--username", "postgres", name)
        return name

    def url(self, name):
        return f"postgres:///{name}?host={self.folder}&user=postgres"

    def statements(self, name, text):
        self.run("psql", "--quiet", "--host", self.folder, "--username", "postgres", "--dbname", name, "--command", text)

    def run(self, program, *arguments):
        # The server refuses to run as root.
        account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        quiet = os.environ | {"PGOPTIONS": "-c client_min_messages=warning"}
        subprocess.run([programs() / program, *arguments], check=True, cwd=self.folder, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, env=quiet, **as_account)


@contextlib.contextmanager
def running_postgres():
    folder = Path(tempfile.mkdtemp(prefix="ptc-bench-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = Postgres(folder)
    try:
        server.run("initdb", "--pgdata", folder / "data", "--auth", "trust", "--username", "postgres", "--encoding", "UTF8",
                   "--locale", "C.UTF-8")
        server.run("pg_ctl", "start", "--wait", "--pgdata", folder / "data", "--log", folder / "log", "--options",
                   f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=200")
        try:
            yield server
        finally:
            server.run("pg_ctl", "stop", "--wait", "--mode", "fast", "--pgdata", folder / "data")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
