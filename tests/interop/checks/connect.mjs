// Clients that start a command: `mcpoolctl connect NAME` as their stdio server, while the daemon comes and goes.
import path from 'node:path';
import { mkdirSync } from 'node:fs';
import { KINDS, Peer } from '../lib/clients.mjs';
import { DaemonWorld } from '../lib/daemon.mjs';
import { ensure, equal } from '../lib/report.mjs';
import { EVERYTHING, FIXTURE } from '../lib/servers.mjs';
import { checkEverything } from './everything.mjs';
import { probe } from './fixture.mjs';
import { inSession, Place } from './session.mjs';

const WATCHED = 'test://watched-resource';

/** In a daemon of its own, so that the others keep theirs. */
export async function checkConnect(report, { dir, program }) {
    if (!report.wants('connect')) return;
    const own = path.join(dir, 'connect');
    mkdirSync(own);
    const world = new DaemonWorld(own, program);
    const node = script => ({ command: process.execPath, args: [script] });
    world.servers = { everything: node(EVERYTHING), fixture: node(FIXTURE) };
    try {
        if (!(await report.check('connect: start', () => world.start()))) return;
        for (const kind of KINDS) {
            await checkEverything(report, new Place(world, kind, 'connect', 'everything'));
            await inSession(report, new Place(world, kind, 'connect', 'fixture'), async (check, peer) => {
                await check('daemon killed between calls', () => between(world, peer, 'SIGKILL'));
                await check('daemon stopped and started', () => between(world, peer, 'SIGTERM'));
                await check('daemon killed in a call', () => during(world, peer));
            });
            await report.check(`${kind} connect everything: over a restart`, () => everything(world, kind));
        }
    } finally {
        await world.stop();
    }
}

async function between(world, peer, signal) {
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
    equal(peer.errors.map(String), [], 'errors of the client');
}

async function during(world, peer) {
    const name = 'test_tool_with_progress';
    let begun;
    const seen = new Promise(resolve => (begun = resolve));
    const call = peer.callTool(name, {}, { onprogress: begun }).then(
        result => ({ result }),
        error => ({ error }),
    );
    await seen; // it runs
    await world.restart('SIGKILL');
    const { error } = await call;
    equal(error?.code, -32603, `code of ${error}`);
    equal(error.data?.delivered, 'maybe', 'delivered');
    ensure((await probe(peer)).pid > 0, 'no process');
}

/** The daemon comes only after its client, and goes while that works. */
async function everything(world, kind) {
    await world.stop();
    const connecting = Peer.connect(kind, world.endpoint('everything', 'connect'));
    connecting.catch(() => {});
    await world.start();
    const peer = await connecting;
    try {
        equal(await peer.text('echo', { message: 'a' }), 'Echo: a', 'before');
        await world.restart('SIGKILL');
        equal(await peer.text('echo', { message: 'b' }), 'Echo: b', 'after');
        ensure((await peer.listTools()).length > 5, 'tools');
    } finally {
        await peer.close();
    }
}
