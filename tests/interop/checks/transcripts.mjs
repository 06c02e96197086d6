// A session of each real client, recorded as text under transcripts/, and said again: what the clients of today
// send and what they got is written down, and stays answered the same way.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { KINDS, Peer } from '../lib/clients.mjs';
import { ensure, skip } from '../lib/report.mjs';
import { Recorder, replay } from '../lib/transcript.mjs';
import { Place } from './session.mjs';

const COMMITTED = path.resolve(import.meta.dirname, '../transcripts');
const WATCHED = 'test://watched-resource';
const NAMES = { http: 'Streamable HTTP', sse: 'HTTP+SSE', unix: 'NDJSON over a unix socket' };

/** With `record` the transcripts in the tree are written anew from what happens now. */
export async function checkTranscripts(report, world, { record = false } = {}) {
    for (const kind of KINDS) {
        for (const transport of ['http', 'sse', 'unix']) {
            const place = new Place(world, kind, transport, 'fixture');
            const name = `transcript ${kind} ${transport}`;
            if (!place.endpoint || !report.wants(name)) continue;
            // Straight at the server there is nothing to compare with but a recording of the same run.
            const file = path.join(world.proxied ? COMMITTED : world.dir, `${kind}-${transport}.txt`);
            if (record || !world.proxied) {
                await report.check(`${name}: record`, async () => {
                    const text = await recordSession(place, world.dir);
                    mkdirSync(path.dirname(file), { recursive: true });
                    writeFileSync(file, text);
                });
            }
            await report.check(`${name}: replay`, async () => {
                if (!existsSync(file)) skip('not recorded');
                await replay(readFileSync(file, 'utf8'), place.endpoint);
            });
        }
    }
}

async function recordSession(place, dir) {
    const recorder = new Recorder(place.endpoint);
    const endpoint = await recorder.start(dir);
    const peer = await Peer.connect(place.kind, endpoint, {});
    await session(peer);
    await peer.close();
    return recorder.finish(`Client ${place.kind}, ${NAMES[place.transport]}, to the fixture server.`);
}

// One thing after the other, so that the order of a transcript means something.
async function session(peer) {
    const { client } = peer;
    await peer.listTools();
    await peer.callTool('probe_echo', { payload: 'é 漢 🦀', ms: 60, steps: 2 }, { onprogress: () => {} });
    await peer.callTool('test_sampling', { prompt: 'record me' });
    await peer.callTool('test_error_handling');
    await peer.callTool('no_such_tool').catch(() => {});
    const listed = await peer.listResources();
    ensure(listed.length > 0, 'no resources');
    await client.readResource({ uri: 'test://static-text' });
    await client.subscribeResource({ uri: WATCHED });
    const since = peer.notes.length;
    await peer.callTool('probe_touch', { uri: WATCHED });
    await peer.waitNote('notifications/resources/updated', () => true, { since });
    await client.unsubscribeResource({ uri: WATCHED });
    await client.getPrompt({ name: 'test_prompt_with_arguments', arguments: { arg1: 'a', arg2: 'b' } });
    await client.complete({
        ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
        argument: { name: 'arg1', value: 'par' },
    });
    await client.setLoggingLevel('info');
    const before = peer.notes.length;
    await peer.callTool('test_tool_with_logging');
    await peer.waitNote('notifications/message', p => p.data === 'Tool execution completed', {
        since: before,
    });
    await client.ping();
}
