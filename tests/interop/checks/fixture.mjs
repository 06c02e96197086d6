// The fixture server, whose probes tell what reached it: the checks that need both ends.
import { createHash } from 'node:crypto';
import { LATEST_LEGACY } from '../lib/clients.mjs';
import { ensure, equal, eventually } from '../lib/report.mjs';
import { inSession } from './session.mjs';

const WATCHED = 'test://watched-resource';
const MEGABYTE = 1 << 20;

export const probe = async peer => JSON.parse(await peer.text('probe_state'));

export async function checkFixture(report, place) {
    await inSession(report, place, async (check, peer) => {
        await check('handshake', () => {
            equal(peer.serverInfo.name, 'mcpool-fixture', 'server name');
            equal(peer.revision, LATEST_LEGACY, 'protocol revision');
            equal(peer.client.getInstructions(), 'A server for tests.', 'instructions');
        });
        await check('tools/list keeps schemas', () => schema(peer));
        await check('resources/list follows cursors', async () => {
            const uris = (await peer.listResources()).map(r => r.uri);
            equal(uris.length, 15, 'resources');
            equal(new Set(uris).size, 15, 'distinct resources');
        });
        await check('content types', () => contents(peer));
        await check('error result', async () => {
            const result = await peer.callTool('test_error_handling');
            equal(result.isError, true, 'isError');
            ensure(result.content[0].text.includes('intentionally'), result.content[0].text);
        });
        await check('progress', async () => {
            const since = peer.progress.length;
            await peer.text('test_tool_with_progress', {}, { onprogress: () => {} });
            equal(
                peer.progress.slice(since).map(p => p.progress),
                [0, 50, 100],
                'progress',
            );
        });
        await check('cancel reaches the server', () => cancel(peer));
        await check('sampling', async () => {
            equal(await peer.text('test_sampling', { prompt: 'hi' }), 'LLM response: sampled: hi', 'text');
        });
        await check('elicitation', async () => {
            const said = await peer.text('test_elicitation', { message: 'who' });
            const content = { username: 'given-username', email: 'given-email' };
            equal(said, `User response: action=accept, content=${JSON.stringify(content)}`, 'text');
        });
        await check('logging level', () => logging(peer));
        await check('subscribe and unsubscribe', () => subscription(peer));
        await check('tools/list_changed', () => listChanged(peer));
        await check('big result', () => big(place, peer));
        await check('big argument', async () => {
            const payload = 'argument "é漢🦀"\n'.repeat(100_000);
            const said = await peer.text('probe_echo', { payload });
            ensure(
                said === payload,
                `${said.length} of ${payload.length} characters, or other ones, came back`,
            );
        });
        await check('no stray errors', () => equal(peer.errors.map(String), [], 'errors of the client'));
    });
    await checkWithoutCapabilities(report, place);
}

async function schema(peer) {
    const tool = (await peer.listTools()).find(t => t.name === 'json_schema_2020_12_tool');
    const { $schema, $defs, additionalProperties, allOf, if: condition } = tool.inputSchema;
    equal($schema, 'https://json-schema.org/draft/2020-12/schema', '$schema');
    equal($defs.address.$anchor, 'addressDef', '$anchor');
    equal(additionalProperties, false, 'additionalProperties');
    ensure(allOf && condition, 'allOf or if is gone');
}

async function contents(peer) {
    const kinds = async name => (await peer.callTool(name)).content.map(c => c.type);
    equal(await kinds('test_simple_text'), ['text'], 'text');
    equal(await kinds('test_image_content'), ['image'], 'image');
    equal(await kinds('test_audio_content'), ['audio'], 'audio');
    equal(await kinds('test_embedded_resource'), ['resource'], 'resource');
    equal(await kinds('test_multiple_content_types'), ['text', 'image', 'resource'], 'mixed');
    const read = await peer.client.readResource({ uri: 'test://template/a%20b/data' });
    equal(read.contents[0].uri, 'test://template/a%20b/data', 'uri of a template');
}

async function cancel(peer) {
    const payload = `cancelled by ${peer.kind} over ${peer.endpoint.kind} ${Date.now()}`;
    const abort = new AbortController();
    const call = peer.callTool(
        'probe_echo',
        { payload, ms: 25_000, steps: 500 },
        { signal: abort.signal, onprogress: () => abort.abort('enough') },
    );
    const outcome = await call.then(
        () => 'a result',
        () => 'an error',
    );
    equal(outcome, 'an error', 'a cancelled call ended with');
    const noticed = async () => (await probe(peer)).cancelled.includes(payload);
    await eventually(noticed, 5_000, 'the server did not notice the cancellation');
}

async function logging(peer) {
    const messages = since => peer.notes.slice(since).filter(n => n.method === 'notifications/message');
    await peer.client.setLoggingLevel('info');
    const before = peer.notes.length;
    await peer.text('test_tool_with_logging');
    await eventually(() => messages(before).length >= 3, 5_000, 'not three log messages');
    equal(
        messages(before).map(n => n.params.data),
        ['Tool execution started', 'Tool processing data', 'Tool execution completed'],
        'log messages',
    );
    await peer.client.setLoggingLevel('error');
    const after = peer.notes.length;
    await peer.text('test_tool_with_logging');
    await peer.client.ping();
    equal(messages(after), [], 'log messages below the level');
}

async function subscription(peer) {
    await peer.client.subscribeResource({ uri: WATCHED });
    const since = peer.notes.length;
    equal(JSON.parse(await peer.text('probe_touch', { uri: WATCHED })), { subscribed: true }, 'server side');
    await peer.waitNote('notifications/resources/updated', p => p.uri === WATCHED, { since });
    await peer.client.unsubscribeResource({ uri: WATCHED });
    const after = peer.notes.length;
    equal(JSON.parse(await peer.text('probe_touch', { uri: WATCHED })), { subscribed: false }, 'server side');
    equal(
        peer.notes.slice(after).filter(n => n.method === 'notifications/resources/updated'),
        [],
        'updates after unsubscribing',
    );
}

async function listChanged(peer) {
    const has = async () => (await peer.listTools()).some(t => t.name === 'probe_extra');
    for (const present of [true, false]) {
        const since = peer.notes.length;
        equal(JSON.parse(await peer.text('probe_toggle_tool')), { present }, 'toggled');
        await peer.waitNote('notifications/tools/list_changed', () => true, { since });
        equal(await has(), present, 'the tool is listed');
    }
}

async function big(place, peer) {
    const bytes = (place.transport === 'stdio' ? 6 : 16) * MEGABYTE;
    const { content } = await peer.callTool('probe_big', { bytes, seed: place.name });
    ensure(Buffer.byteLength(content[0].text) >= bytes, 'the text is short');
    const digest = createHash('sha256').update(content[0].text).digest('hex');
    equal(digest, content[1].text, 'SHA-256');
}

// A client that cannot be asked: the tool that asks must fail, soon, and no ask may reach the client.
async function checkWithoutCapabilities(report, place) {
    const bare = Object.assign(Object.create(place), { name: `${place.name} bare` });
    await inSession(
        report,
        bare,
        async (check, peer) => {
            await check('declared upstream', async () => {
                const { capabilities } = await probe(peer);
                ensure(!capabilities.sampling && !capabilities.elicitation, JSON.stringify(capabilities));
            });
            await check('an ask fails', async () => {
                const result = await peer.callTool('test_sampling', { prompt: 'hi' });
                equal(result.isError, true, 'isError');
                equal(peer.asks, [], 'asks');
            });
        },
        { capabilities: {} },
    );
}
