"""What is measured: mcpool, and what it is measured against. Each knows how it is started and how `load` reaches it.

All of them run on loopback as the current user, one process with one thread, with kept-alive connections, no access log and
their files in the workshop. What each comparison is worth is written in README.md."""
import json
import os
import resource
import shutil
import subprocess

from processes import Failure, free_port, memory

# More than any row has at once. nginx and haproxy take memory for these in advance, so memory is measured with few.
FEW_CONNECTIONS = 1000


class Target:
    """One line of a row's table. `key` is its name in the JSON, `label` in the table."""
    key = label = ""
    needs = None      # a program without which it is left out
    mcp = True        # speaks MCP, with sessions; the others pass on plain POSTs
    process = None    # whose CPU time and memory count; None: there is nothing in between
    warmup = None     # calls before it is measured, if not as many as `load` thinks right
    patience = 1      # times as long as the others

    def __init__(self, bench, connections=FEW_CONNECTIONS):
        self.bench = bench
        self.connections = connections

    def wanted(self):
        """Whether this run is to have it at all."""
        return True

    def missing(self):
        """The program without which it cannot be measured here."""
        return self.needs if self.needs and not shutil.which(self.needs) else None

    def start(self):
        """Returns when it takes calls."""

    def run_once_before(self):
        """What a first start leaves for those to come."""

    def stop(self):
        if self.process:
            self.bench.workshop.end(self.process)
            self.process = None

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def memory(self):
        return memory(self.pid)

    def loader(self):
        """The load generator that speaks its language, with what it needs to be told first."""
        return [self.bench.program("load")]

    def way(self):
        """The options by which `load` reaches it."""
        raise NotImplementedError


class Straight(Target):
    """The load generator's own pipes to the stdio server."""
    key, label = "straight", "stdio server, straight"

    def way(self):
        return ["--stdio", "--", self.bench.program("stdio-server")]


class HttpServer(Target):
    """The HTTP server behind nginx and haproxy, without them."""
    key, label, mcp = "http-server", "HTTP server, straight", False
    port = None

    def start(self):
        self.process, self.port = start_http_server(self.bench)

    def way(self):
        return ["--plain", "--http", "127.0.0.1:%d/mcp" % self.port]


class Floor(Target):
    key, label = "floor", "floor proxy"
    port = path = None

    def start(self):
        self.configure()
        self.run()
        self.port = printed_port(self.process)

    def configure(self):
        self.path = self.bench.workshop.place("floor.sock")

    def run(self):
        self.process = self.bench.workshop.start(
            [self.bench.program("floor"), "--http", "127.0.0.1:0", "--unix", self.path, "--",
             self.bench.program("stdio-server")], "floor", stdout=subprocess.PIPE)

    def way(self):
        return ["--http", "127.0.0.1:%d/mcp" % self.port]


class FloorUnix(Floor):
    key, label = "floor-unix", "floor proxy, unix"

    def way(self):
        return ["--unix", self.path]


class Mcpool(Target):
    key, label = "mcpool", "mcpool"
    port = config_path = runtime_dir = None
    server_count = 1

    def config(self):
        """The defaults, but for bounds that a benchmark exceeds on purpose, and one process for each server, as the other
        proxies have."""
        return {
            "listen": ["127.0.0.1:%d" % self.port], "runtime_dir": self.runtime_dir, "state_dir": self.runtime_dir,
            "log_level": "notice",
            "limits": {"max_sessions": 30000, "max_sessions_per_principal": 30000, "max_client_connections": 30000,
                       "max_in_flight_per_principal": 10000, "max_in_flight_per_connection": 1000, "queue_length": 1000,
                       "progress_per_second": 0, "start_rate": 0},
            "resilience": {"min_connections": 1, "max_connections": 1, "stable_after": 0.2},
            "mcpServers": {"s%d" % i: {"command": self.bench.program("stdio-server")} for i in range(self.server_count)}}

    def start(self):
        self.configure()
        self.run()
        self.process.until_logged("notice ready")

    def configure(self):
        """The configuration alone, so that the start can be timed without it."""
        self.port, self.runtime_dir = free_port(), self.bench.workshop.place("run")
        os.mkdir(self.runtime_dir, 0o700)
        self.config_path = self.bench.workshop.place("mcpool.json")
        with open(self.config_path, "w", encoding="utf-8") as f:
            json.dump(self.config(), f, indent=1)
        os.chmod(self.config_path, 0o600)

    def run_once_before(self):
        self.run()
        self.process.until_logged("notice ready")
        self.stop()

    def run(self):
        env = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
        self.process = self.bench.workshop.start([self.bench.mcpoold, "--config", self.config_path], "mcpoold", env=env)

    def way(self):
        return ["--http", "127.0.0.1:%d/mcp/s%d" % (self.port, self.server_count - 1)]

    @property
    def path(self):
        return os.path.join(self.runtime_dir, "s%d.sock" % (self.server_count - 1))


class McpoolUnix(Mcpool):
    key, label = "mcpool-unix", "mcpool, unix"

    def way(self):
        return ["--unix", self.path]


class McpoolServers(Mcpool):
    """With so many servers configured, of which the last gets the calls."""

    def __init__(self, bench, count):
        super().__init__(bench)
        self.server_count = count
        self.key = "mcpool-%d" % count
        self.label = "mcpool, %d server%s" % (count, "" if count == 1 else "s")

    def start(self):
        super().start()
        self.process.until(lambda: self.process.log().count("-> healthy") >= self.server_count, "start of all servers")


class Reverse(Target):
    """A plain reverse proxy in front of the HTTP server."""
    mcp = False
    port = server = None

    def start(self):
        self.server, behind = start_http_server(self.bench)
        self.port = free_port()
        path = self.bench.workshop.place(self.key + ".conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.config(behind))
        self.launch(path)
        self.process.until_open(self.port)

    def launch(self, path):
        raise NotImplementedError

    def config(self, behind):
        raise NotImplementedError

    def stop(self):
        super().stop()
        if self.server:
            self.bench.workshop.end(self.server)
            self.server = None

    def way(self):
        return ["--plain", "--http", "127.0.0.1:%d/mcp" % self.port]


class Haproxy(Reverse):
    key = needs = "haproxy"
    label = "haproxy, HTTP to HTTP"

    def launch(self, path):
        self.process = self.bench.workshop.start(["haproxy", "-q", "-db", "-f", path], "haproxy")

    def config(self, behind):
        # It closes idle connections to the server beyond a quarter of what it may open, and opens two for one of a client.
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return HAPROXY % {"port": self.port, "behind": behind, "connections": min(8 * self.connections, allowed // 2 - 100)}


class Nginx(Reverse):
    key = needs = "nginx"
    label = "nginx, HTTP to HTTP"

    def launch(self, path):
        folder = self.bench.workshop.place("nginx")
        os.mkdir(folder)
        self.process = self.bench.workshop.start(["nginx", "-p", folder, "-e", "stderr", "-c", path], "nginx")

    def config(self, behind):
        # As a proxy it needs two connections for one of a client.
        return NGINX % {"port": self.port, "behind": behind, "connections": 2 * self.connections + 16}


HAPROXY = """global
    nbthread 1
    maxconn %(connections)d
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 10s
    timeout client 10m
    timeout server 10m
frontend in
    bind 127.0.0.1:%(port)d
    default_backend out
backend out
    server s 127.0.0.1:%(behind)d
"""

# One process: what a worker does, without a master. Buffering is on as by default, but never to disk.
NGINX = """daemon off;
master_process off;
error_log stderr;
pid nginx.pid;
events {
    worker_connections %(connections)d;
}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 10m;
    client_max_body_size 64m;
    upstream behind {
        server 127.0.0.1:%(behind)d;
        keepalive 512;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:%(port)d;
        location / {
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_max_temp_file_size 0;
        }
    }
}
"""


def start_http_server(bench):
    """The process and its port."""
    process = bench.workshop.start([bench.program("http-server"), "--listen", "127.0.0.1:0"], "http-server",
                                   stdout=subprocess.PIPE)
    return process, printed_port(process)


def printed_port(process):
    """The first line of a program that takes any port and says which."""
    said = process.popen.stdout.readline().decode()
    try:
        return int(said)
    except ValueError:
        process.popen.wait(1)
        process.check()
        raise Failure("%s printed %r instead of its port" % (process.name, said)) from None
