// server-everything: the reference server, through each client and transport.
import { LATEST_LEGACY } from '../lib/clients.mjs';
import { ensure, equal, eventually, skip } from '../lib/report.mjs';
import { inSession } from './session.mjs';

const TEXT_URI = 'demo://resource/dynamic/text/7';
const ELICITED = { name: 'Ada', check: true, integer: 7 };

export function checkEverything(report, place) {
    const elicit = () => ({ action: 'accept', content: ELICITED });
    return inSession(
        report,
        place,
        async (check, peer) => {
            await check('handshake', () => handshake(peer));
            await check('tools/list', () => tools(peer));
            await check('prompts/list', async () => {
                const names = (await peer.listPrompts()).map(p => p.name).sort();
                equal(
                    names,
                    ['args-prompt', 'completable-prompt', 'resource-prompt', 'simple-prompt'],
                    'prompts',
                );
            });
            await check('resources', () => resources(peer));
            await check('tools/call', () => calls(peer));
            await check('prompts/get', async () => {
                const got = await peer.client.getPrompt({ name: 'args-prompt', arguments: { city: 'Łódź' } });
                equal(got.messages[0].content.text, "What's weather in Łódź?", 'prompt');
            });
            await check('completion/complete', () => completion(peer));
            await check('unknown tool', () => unknownTool(peer));
            await check('progress', () => progress(peer));
            await check('cancel', () => cancel(peer));
            await check('sampling', () => sampling(peer));
            await check('elicitation', () => elicitation(peer));
            await check('logging', () => logging(peer));
            await check('subscribe', () => subscribe(peer));
            await check('ping', () => peer.client.ping());
            await check('no stray errors', () => equal(peer.errors.map(String), [], 'errors of the client'));
        },
        { elicit },
    );
}

function handshake(peer) {
    equal(peer.serverInfo.name, 'mcp-servers/everything', 'server name');
    equal(peer.revision, LATEST_LEGACY, 'protocol revision');
    if (peer.major === 'v2') equal(peer.client.getProtocolEra(), 'legacy', 'era');
    for (const name of ['tools', 'prompts', 'resources', 'logging', 'completions']) {
        ensure(peer.serverCapabilities[name], `capability ${name} is missing`);
    }
    ensure(peer.client.getInstructions()?.length > 100, 'no instructions');
}

// The server adds tools for the client's capabilities after `initialized`, so they may come a moment later.
async function tools(peer) {
    const wanted = [
        'echo',
        'get-sum',
        'get-tiny-image',
        'trigger-sampling-request',
        'trigger-elicitation-request',
    ];
    await eventually(
        async () => {
            const names = new Set((await peer.listTools()).map(t => t.name));
            return wanted.every(name => names.has(name));
        },
        5_000,
        `not all of ${wanted}`,
    );
}

async function resources(peer) {
    const listed = await peer.listResources();
    ensure(listed.length >= 5, `only ${listed.length} resources`);
    const first = await peer.client.readResource({ uri: listed[0].uri });
    equal(first.contents[0].uri, listed[0].uri, 'uri');
    ensure(first.contents[0].text.length > 0, 'an empty resource');

    const templates = (await peer.listTemplates()).map(t => t.uriTemplate).sort();
    equal(
        templates,
        ['demo://resource/dynamic/blob/{resourceId}', 'demo://resource/dynamic/text/{resourceId}'],
        'templates',
    );
    const dynamic = await peer.client.readResource({ uri: TEXT_URI });
    ensure(dynamic.contents[0].text.startsWith('Resource 7: '), dynamic.contents[0].text);
}

async function calls(peer) {
    equal(await peer.text('echo', { message: 'a "b" \\ c\n🦀' }), 'Echo: a "b" \\ c\n🦀', 'echo');
    equal(await peer.text('get-sum', { a: 2, b: 40 }), 'The sum of 2 and 40 is 42.', 'sum');
    const image = (await peer.callTool('get-tiny-image')).content.find(c => c.type === 'image');
    ensure(Buffer.from(image.data, 'base64').subarray(1, 4).equals(Buffer.from('PNG')), 'not a PNG');
    const weather = await peer.callTool('get-structured-content', { location: 'New York' });
    equal(JSON.parse(weather.content[0].text), weather.structuredContent, 'structured content');
    const links = await peer.callTool('get-resource-links', { count: 3 });
    equal(links.content.filter(c => c.type === 'resource_link').length, 3, 'links');
}

async function completion(peer) {
    const { completion: got } = await peer.client.complete({
        ref: { type: 'ref/prompt', name: 'completable-prompt' },
        argument: { name: 'name', value: 'A' },
        context: { arguments: { department: 'Engineering' } },
    });
    equal(got.values, ['Alice'], 'completion with a context');
}

// The SDK servers answer this with an error or with isError, by version; both name the tool.
async function unknownTool(peer) {
    let said;
    try {
        const result = await peer.callTool('no-such-tool');
        ensure(result.isError, 'an unknown tool gave a result');
        said = result.content[0].text;
    } catch (error) {
        equal(error.code, -32602, 'error code');
        said = error.message;
    }
    ensure(said.includes('no-such-tool'), said);
}

async function progress(peer) {
    const wire = peer.progress.length;
    const seen = [];
    const args = { duration: 0.5, steps: 5 };
    const said = await peer.text('trigger-long-running-operation', args, {
        onprogress: p => seen.push(p.progress),
    });
    ensure(said.includes('Steps: 5'), said);
    equal(
        peer.progress.slice(wire).map(p => [p.progress, p.total, p.progressToken]),
        [1, 2, 3, 4, 5].map(n => [n, 5, peer.sentIds.at(-1)]),
        'progress',
    );
    ensure(seen.length >= 4, `the application saw ${seen}`);
}

async function cancel(peer) {
    const abort = new AbortController();
    const started = Date.now();
    const call = peer.callTool(
        'trigger-long-running-operation',
        { duration: 20, steps: 200 },
        { signal: abort.signal, onprogress: () => abort.abort('enough') },
    );
    const outcome = await call.then(
        () => 'a result',
        () => 'an error',
    );
    equal(outcome, 'an error', 'a cancelled call ended with');
    ensure(Date.now() - started < 10_000, 'the call ended late');
    equal(await peer.text('echo', { message: 'next' }), 'Echo: next', 'the call after');
}

async function sampling(peer) {
    const said = await peer.text('trigger-sampling-request', { prompt: 'what now', maxTokens: 9 });
    ensure(said.includes('sampled: Resource trigger-sampling-request context: what now'), said);
    const ask = peer.asks.find(a => a.method === 'sampling/createMessage');
    equal(ask.params.maxTokens, 9, 'maxTokens of the ask');
}

async function elicitation(peer) {
    const result = await peer.callTool('trigger-elicitation-request');
    ensure(!result.isError, result.content[0]?.text);
    const raw = result.content.map(c => c.text).find(t => t.startsWith('\nRaw result'));
    ensure(raw?.includes('"name": "Ada"'), `the answer did not come back: ${raw}`);
    const ask = peer.asks.find(a => a.method === 'elicitation/create');
    equal(ask.params.requestedSchema.required, ['name'], 'schema of the ask');
}

// One message follows the call at once, of a random level, so only `debug` lets it through surely.
async function logging(peer) {
    await peer.client.setLoggingLevel('debug');
    const since = peer.notes.length;
    await peer.callTool('toggle-simulated-logging');
    await peer.waitNote('notifications/message', p => /-level message|level-message/.test(p.data), { since });
    await peer.callTool('toggle-simulated-logging');
}

async function subscribe(peer) {
    await peer.client.subscribeResource({ uri: TEXT_URI });
    const since = peer.notes.length;
    const said = await peer.text('toggle-subscriber-updates');
    if (said.startsWith('Stopped')) skip('another client had the updates on');
    await peer.waitNote('notifications/resources/updated', p => p.uri === TEXT_URI, { since });
    await peer.callTool('toggle-subscriber-updates');
    await peer.client.unsubscribeResource({ uri: TEXT_URI });
}
