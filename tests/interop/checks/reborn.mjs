// The daemon itself dies and comes back: clients of Streamable HTTP go on in their sessions. No SDK client
// would initialize again by itself, so a 404 would be the end of each.
import path from 'node:path';
import { mkdirSync } from 'node:fs';
import { KINDS } from '../lib/clients.mjs';
import { DaemonWorld } from '../lib/daemon.mjs';
import { ensure, equal } from '../lib/report.mjs';
import { FIXTURE } from '../lib/servers.mjs';
import { probe } from './fixture.mjs';
import { inSession, Place } from './session.mjs';

const WATCHED = 'test://watched-resource';

/** In a daemon of its own, so that the others keep theirs. */
export async function checkReborn(report, { dir, program }) {
    if (!report.wants('reborn')) return;
    const own = path.join(dir, 'reborn');
    mkdirSync(own);
    const world = new DaemonWorld(own, program);
    world.servers = { reborn: { command: process.execPath, args: [FIXTURE] } };
    try {
        if (!(await report.check('reborn: start', () => world.start()))) return;
        for (const kind of KINDS) {
            await inSession(report, new Place(world, kind, 'http', 'reborn'), async (check, peer) => {
                await check('killed between calls', () => reborn(world, peer, 'SIGKILL'));
                await check('stopped and started', () => reborn(world, peer, 'SIGTERM'));
            });
        }
        await report.check('reborn: an id that nobody issued stays unknown', () => unknown(world));
    } finally {
        await world.stop();
    }
}

async function reborn(world, peer, signal) {
    await peer.client.subscribeResource({ uri: WATCHED });
    const before = await probe(peer);
    const since = peer.notes.length;
    await world.restart(signal);
    const after = await probe(peer);
    ensure(after.pid !== before.pid, 'the server of the dead daemon answered');
    // It may have changed meanwhile; and the server of the new daemon knows of the subscription.
    await peer.waitNote('notifications/resources/updated', p => p.uri === WATCHED, { since });
    equal(JSON.parse(await peer.text('probe_touch', { uri: WATCHED })), { subscribed: true }, 'server side');
    await peer.client.unsubscribeResource({ uri: WATCHED });
}

async function unknown(world) {
    const { url } = world.endpoint('reborn', 'http');
    const response = await fetch(url, {
        method: 'POST',
        headers: {
            'Content-Type': 'application/json',
            Accept: 'application/json, text/event-stream',
            'Mcp-Session-Id': 'A'.repeat(73),
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
    });
    await response.text();
    equal(response.status, 404, 'status');
}
