// The plainest peer of all: curl, with no more headers than a person types.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ensure, equal, skip } from '../lib/report.mjs';

const run = promisify(execFile);
const INITIALIZE = {
    jsonrpc: '2.0',
    id: 'curl-1',
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'curl', version: '0' } },
};

export async function checkCurl(report, world) {
    const url = world.endpoint('fixture', 'http').url;
    if (!report.wants('curl')) return;
    // The SDK's server insists on the Accept header of the specification; mcpoold does not.
    const accept = world.proxied ? [] : ['-H', 'Accept: application/json, text/event-stream'];
    let session;
    const post = (body, ...headers) =>
        curl(url, '-H', 'Content-Type: application/json', ...accept, ...headers, '-d', JSON.stringify(body));
    const inIt = () => ['-H', `Mcp-Session-Id: ${session}`, '-H', 'MCP-Protocol-Version: 2025-11-25'];

    await report.check('curl: initialize', async () => {
        const got = await post(INITIALIZE);
        equal(got.status, 200, 'status');
        session = got.headers.get('mcp-session-id');
        ensure(session, 'no session id');
        equal(got.message.id, 'curl-1', 'id');
        equal(got.message.result.serverInfo.name, 'mcpool-fixture', 'server');
    });
    await report.check('curl: notifications/initialized', async () => {
        const got = await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, ...inIt());
        equal([got.status, got.body], [202, ''], 'status and body');
    });
    await report.check('curl: tools/call', async () => {
        const params = { name: 'probe_echo', arguments: { payload: 'from curl' } };
        const got = await post({ jsonrpc: '2.0', id: 2, method: 'tools/call', params }, ...inIt());
        equal(got.message.id, 2, 'id');
        equal(got.message.result.content[0].text, 'from curl', 'text');
    });
    await report.check('curl: DELETE, then 404', async () => {
        const gone = await curl(url, '-X', 'DELETE', ...inIt());
        ensure(gone.status >= 200 && gone.status < 300, `DELETE: ${gone.status}`);
        const after = await post({ jsonrpc: '2.0', id: 3, method: 'ping' }, ...inIt());
        equal(after.status, 404, 'status after DELETE');
    });
}

/** {status, headers, body, message}; the message from a JSON body or from the last event of a stream. */
async function curl(url, ...args) {
    let stdout;
    try {
        ({ stdout } = await run('curl', ['-sS', '-i', '--max-time', '20', ...args, url]));
    } catch (error) {
        if (error.code === 'ENOENT') skip('no curl here');
        throw new Error(error.stderr || error.message);
    }
    const split = stdout.indexOf('\r\n\r\n');
    const [first, ...lines] = stdout.slice(0, split).split('\r\n');
    const headers = new Map(
        lines.map(l => [l.slice(0, l.indexOf(':')).toLowerCase(), l.replace(/^[^:]*: */, '')]),
    );
    const body = stdout.slice(split + 4);
    const events = [...body.matchAll(/^data: ?(.+)$/gm)].map(m => m[1]);
    const stream = headers.get('content-type')?.startsWith('text/event-stream');
    const last = stream ? events.at(-1) : body;
    return {
        status: Number(first.split(' ')[1]),
        headers,
        body,
        message: last ? JSON.parse(last) : undefined,
    };
}
