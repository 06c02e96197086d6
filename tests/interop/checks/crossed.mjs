// Two clients of the same kind at once. Their SDKs count request ids from the same number and use the id as
// progress token, so whatever the proxy mixes up shows as an answer, a progress or a question of the other.
import { ensure, equal } from '../lib/report.mjs';
import { KINDS } from '../lib/clients.mjs';
import { Place } from './session.mjs';

const CALLS = 50;
const WATCHED = 'test://watched-resource';

export async function checkCrossed(report, world) {
    for (const kind of KINDS) {
        for (const transport of world.transports) {
            await crossedAt(report, new Place(world, kind, transport, 'fixture'));
        }
    }
}

async function crossedAt(report, place) {
    const name = `crossed ${place.name}`;
    if (!place.endpoint || !report.wants(name)) return;
    const peers = [];
    const elicit = who => params => ({ action: 'accept', content: { username: who, email: params.message } });
    await report.check(`${name}: connect`, async () => {
        for (const who of ['A', 'B']) peers.push(await place.connect({ elicit: elicit(who) }));
    });
    if (peers.length < 2) return;
    await report.check(`${name}: ${2 * CALLS} calls with equal ids`, () => manyCalls(peers));
    // Before the asks: they teach the pool to spread calls over connections, and this one looks into a process.
    await report.check(`${name}: subscriptions are each client's own`, () => subscriptions(peers));
    await report.check(`${name}: asks go to whose call it is`, () => asks(peers));
    await report.check(`${name}: log messages go to whose call it is`, () => logs(peers));
    await report.check(`${name}: close`, () => Promise.all(peers.map(p => p.close())));
}

async function manyCalls(peers) {
    const before = peers.map(p => p.sentIds.length);
    const steps = 2;
    const foreign = [];
    const one = async (peer, who, i) => {
        const payload = `${who}-${i}`;
        const onprogress = p => p.message === payload || foreign.push(`${p.message} came to ${payload}`);
        equal(
            await peer.text('probe_echo', { payload, ms: (i * 7) % 40, steps }, { onprogress }),
            payload,
            'answer',
        );
    };
    const calls = [];
    for (let i = 0; i < CALLS; i++) peers.forEach((peer, n) => calls.push(one(peer, 'AB'[n], i)));
    const failed = (await Promise.allSettled(calls)).filter(r => r.status === 'rejected');
    equal(
        failed.map(r => r.reason.message).slice(0, 3),
        [],
        `${failed.length} of ${calls.length} calls failed`,
    );
    equal(foreign, [], 'progress of other calls');
    peers.forEach((peer, n) => {
        const wanted = [];
        for (let i = 0; i < CALLS; i++) for (let k = 1; k <= steps; k++) wanted.push(`${'AB'[n]}-${i} ${k}`);
        equal(
            peer.progress.map(p => `${p.message} ${p.progress}`).sort(),
            wanted.sort(),
            `progress of ${'AB'[n]}`,
        );
    });

    const [a, b] = peers.map((p, n) => p.sentIds.slice(before[n]));
    const common = a.filter(id => b.includes(id)).length;
    ensure(common >= CALLS - 1, `only ${common} ids were equal: the check shows nothing`);
}

/**
 * A proxy that shares one stdio connection cannot know whose an ask is while two calls are open; it may refuse
 * the ask the first time and serve the two in turn from then on. It may never guess.
 */
async function asks(peers) {
    const round = async n => {
        const results = await Promise.all(
            peers.map((p, i) => p.callTool('test_elicitation', { message: `${'AB'[i]}${n}` })),
        );
        return results.map((result, i) => {
            const said = result.content[0].text;
            if (result.isError) return `refused: ${said}`;
            const own = `"username":"${'AB'[i]}","email":"${'AB'[i]}${n}"`;
            ensure(said.includes(own), `${'AB'[i]} was answered: ${said}`);
            return 'answered';
        });
    };
    let last;
    for (let n = 1; n <= 3; n++) last = await round(n);
    equal(last, ['answered', 'answered'], 'the third round');
    peers.forEach((peer, i) => {
        const foreign = peer.asks.filter(a => !a.params.message.startsWith('AB'[i]));
        equal(foreign, [], `asks of the other that reached ${'AB'[i]}`);
    });
}

async function logs([a, b]) {
    await Promise.all([a.client.setLoggingLevel('debug'), b.client.setLoggingLevel('debug')]);
    const since = [a.notes.length, b.notes.length];
    await a.text('test_tool_with_logging');
    await a.waitNote('notifications/message', p => p.data === 'Tool execution completed', {
        since: since[0],
    });
    await b.client.ping();
    equal(
        b.notes.slice(since[1]).filter(n => n.method === 'notifications/message'),
        [],
        'messages that reached the other',
    );
}

async function subscriptions([a, b]) {
    const uri = WATCHED;
    await Promise.all([a.client.subscribeResource({ uri }), b.client.subscribeResource({ uri })]);
    await a.client.unsubscribeResource({ uri });
    const since = [a.notes.length, b.notes.length];
    equal(
        JSON.parse(await b.text('probe_touch', { uri })),
        { subscribed: true },
        'after the other unsubscribed',
    );
    await b.waitNote('notifications/resources/updated', p => p.uri === uri, { since: since[1] });
    await a.client.ping();
    equal(
        a.notes.slice(since[0]).filter(n => n.method === 'notifications/resources/updated'),
        [],
        'updates after unsubscribing',
    );
    await b.client.unsubscribeResource({ uri });
}
