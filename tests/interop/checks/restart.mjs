// A server process that dies: the client's session goes on, no call hangs, and none is run twice.
import { readFileSync } from 'node:fs';
import { KINDS } from '../lib/clients.mjs';
import { ensure, equal, eventually } from '../lib/report.mjs';
import { traceFile, victim } from '../lib/servers.mjs';
import { probe } from './fixture.mjs';
import { inSession, Place } from './session.mjs';

const name = (kind, transport) => `victim-${kind}-${transport}`;

/** The servers of this group, for the config of the daemon. */
export function victims(world) {
    const table = {};
    for (const kind of KINDS) {
        for (const transport of world.transports) table[name(kind, transport)] = victim(world.dir);
    }
    return table;
}

export async function checkRestart(report, world) {
    for (const kind of KINDS) {
        for (const transport of world.transports) {
            const place = new Place(world, kind, transport, name(kind, transport));
            await inSession(report, place, async (check, peer) => {
                await check('killed between calls', () => between(place, peer));
                await check('killed in a call', () => during(place, peer));
            });
        }
    }
}

async function between({ world, server }, peer) {
    const { pid } = await probe(peer);
    ensure(world.processes(server).includes(pid), `${pid} is not a child of mcpoold`);
    process.kill(pid, 'SIGKILL');
    const after = await probe(peer);
    ensure(after.pid !== pid, 'the dead process answered');
}

async function during({ world }, peer) {
    const runs = () => {
        try {
            return readFileSync(traceFile(world.dir), 'utf8').split('\n').length - 1;
        } catch {
            return 0;
        }
    };
    const before = runs();
    const started = Date.now();
    const error = await peer.callTool('probe_exit').then(
        result => {
            throw new Error(`a result: ${JSON.stringify(result)}`);
        },
        e => e,
    );
    ensure(Date.now() - started < 5_000, `the error took ${Date.now() - started} ms`);
    // An answer of mcpoold, with what is known about the call; not the SDK's own word for a lost connection.
    equal(error.code, -32603, `code of "${error.message}"`);
    equal(error.data?.delivered, 'maybe', 'delivered');
    const next = await eventually(() => probe(peer).catch(() => null), 15_000, 'no call succeeds again');
    ensure(next.pid > 0, 'no process');
    equal(runs() - before, 1, 'how often the call was run');
}
