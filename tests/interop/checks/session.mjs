// What every group of checks shares: one client session, on which its checks run in order.
import { Peer } from '../lib/clients.mjs';
import { Skip } from '../lib/report.mjs';

/** Where a group runs; `name` starts the name of each of its checks. */
export class Place {
    constructor(world, kind, transport, server) {
        Object.assign(this, { world, kind, transport, server });
        this.name = `${kind} ${transport} ${server}`;
    }

    get endpoint() {
        return this.world.endpoint(this.server, this.transport);
    }

    connect(options) {
        return Peer.connect(this.kind, this.endpoint, options);
    }
}

/**
 * Connects a client and hands it to `body(check, peer)`, where `check(name, fn)` runs one named check. When
 * the client cannot connect that one check fails and the others of the group are reported as skipped.
 */
export async function inSession(report, place, body, options) {
    if (!place.endpoint || !report.wants(place.name)) return;
    let peer = null;
    await report.check(`${place.name}: connect`, async () => {
        peer = await place.connect(options);
    });
    const check = (name, fn, limits) =>
        report.check(
            `${place.name}: ${name}`,
            () => {
                if (!peer) throw new Skip('not connected');
                return fn();
            },
            limits,
        );
    await body(check, peer);
    await check('close', () => peer.close());
}
