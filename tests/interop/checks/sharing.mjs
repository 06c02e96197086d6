// Pools that do not share: `session` gives each client a server process of its own, with its own roots and
// state; `exclusive` leases one for the time of a call, so that every ask has an owner.
import { pathToFileURL } from 'node:url';
import { KINDS } from '../lib/clients.mjs';
import { ensure, equal } from '../lib/report.mjs';
import { probe } from './fixture.mjs';
import { inSession, Place } from './session.mjs';

export async function checkSharing(report, world) {
    for (const kind of KINDS) {
        for (const transport of world.transports) {
            await roots(report, new Place(world, kind, transport, 'everything-own'));
            await ownProcess(report, new Place(world, kind, transport, 'fixture-own'));
            await leased(report, new Place(world, kind, transport, 'fixture-leased'));
        }
    }
}

function roots(report, place) {
    const uri = pathToFileURL(`/roots/${place.kind}-${place.transport}`).href;
    return inSession(
        report,
        place,
        async (check, peer) => {
            await check('roots of the client', async () => {
                const said = await peer.text('get-roots-list');
                ensure(said.includes(uri), said);
                ensure(said.includes('(1 total)'), said);
            });
        },
        { roots: [{ uri, name: 'the only one' }] },
    );
}

async function ownProcess(report, place) {
    await inSession(report, place, async (check, peer) => {
        await check('a process of its own', async () => {
            const other = await place.connect();
            try {
                const pids = [(await probe(peer)).pid, (await probe(other)).pid, (await probe(peer)).pid];
                ensure(pids[0] !== pids[1], `both clients are on process ${pids[0]}`);
                equal(pids[2], pids[0], 'the process of the next call');
            } finally {
                await other.close();
            }
        });
    });
}

async function leased(report, place) {
    await inSession(report, place, async (check, peer) => {
        await check('asks of two clients at once', async () => {
            const other = await place.connect();
            try {
                const ask = (p, prompt) => p.text('test_sampling', { prompt });
                const said = await Promise.all([ask(peer, 'one'), ask(other, 'two')]);
                equal(said, ['LLM response: sampled: one', 'LLM response: sampled: two'], 'answers');
            } finally {
                await other.close();
            }
        });
    });
}
