"""What must be true when all is quiet again: the ledgers of the servers against what clients were told, and what the
daemon has left behind (resilience.md section 7)."""
from arena import SERVERS


def nonce_of(message):
    """The nonce that a message to a server carries, or None."""
    params = message.get("params") or {}
    method = message.get("method")
    if method in ("tools/call", "prompts/get"):
        return (params.get("arguments") or {}).get("nonce")
    if method == "resources/read":
        return params["uri"].partition("://")[2]
    return None


class Executions:
    """How often each nonce reached a server, and how often it ran there."""

    def __init__(self, arena):
        self.received, self.ran, self.where = {}, {}, {}
        for server, spec in SERVERS.items():
            if spec.fake:
                for entry in arena.ledger(server):
                    self._add(server, entry)

    def _add(self, server, entry):
        if entry["event"] == "recv":
            nonce, counts = nonce_of(entry["message"]), self.received
        elif entry["event"] == "run":
            nonce, counts = entry["nonce"], self.ran
        else:
            return
        if nonce is not None:
            counts[nonce] = counts.get(nonce, 0) + 1
            self.where.setdefault(nonce, set()).add(server)


def check_executions(world):
    """I2 (at the right server), I3 and I4."""
    x = Executions(world.arena)
    by_nonce = {r.nonce: r for r in world.calls.values() if r.nonce}
    for nonce, servers in x.where.items():
        r = by_nonce.get(nonce)
        if r is None or servers != {r.server}:
            world.wrong("crossed", "%s came to %s", r or nonce, ", ".join(sorted(servers)))
    for nonce, r in by_nonce.items():
        if not SERVERS[r.server].fake:
            continue
        received, ran = x.received.get(nonce, 0), x.ran.get(nonce, 0)
        if max(received, ran) > (2 if r.replayable else 1):
            world.wrong("executed", "%s was received %d times and ran %d times", r, received, ran)
        if r.delivered == "no" and received:
            world.wrong("delivered", "%s was not delivered, its client was told, and yet received %d times", r, received)
        if r.state == "answered" and not received:
            world.wrong("executed", "%s was answered and never received", r)
    return x


def check_steady(world):
    """Faults of one server are nobody else's."""
    for r in world.calls.values():
        if r.server == "steady" and r.state == "failed":
            world.wrong("bulkhead", "%s: %s failed though nothing was done to its server", r.player, r)


def check_log(world):
    for line in world.arena.bad_log_lines()[:20]:
        world.wrong("log", "%s", line)


def check_status(world):
    """I8: each connection that is down has a due time, and not too far away. Nothing ever had to be repaired."""
    for s in world.arena.admin("GET", "/status")["servers"]:
        r = s["resilience"]
        bound = 1000 * (r["max_backoff_delay"] + r["recovery_jitter_max"])
        for slot in (slot for pool in s["pools"] for slot in pool["slots"]):
            due = slot["next_attempt_ms"]
            if slot["state"] == "waiting" and (due is None or due > bound):
                world.wrong("status", "slot %d of %s waits %s ms, not %s at most", slot["slot"], s["name"], due, bound)
        if s["metrics"]["recovery_audit_repairs"]:
            world.wrong("status", "%s: the recovery queue was repaired %d times", s["name"],
                        s["metrics"]["recovery_audit_repairs"])


def unwell(world):
    """I12: what /status finds to complain about, in words; empty when all is well."""
    return ["%s is %s, its breaker %s, %d of %d connections up, %d failed" % (
        s["name"], s["health_status"], s["circuit_breaker"]["state"], s["pool_status"]["available"],
        s["pool_status"]["min_size"], s["failed_connections"]) for s in world.arena.admin("GET", "/status")["servers"]
            if s["health_status"] != "healthy" or s["circuit_breaker"]["state"] != "closed" or s["failed_connections"] or
            s["pool_status"]["available"] < s["pool_status"]["min_size"]]
