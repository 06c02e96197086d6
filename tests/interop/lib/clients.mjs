// The real clients behind one face. Each kind is an SDK client as an application would use it: its own
// high-level methods, its own transports, its own validation of what comes back.
import * as v1 from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport as SseV1 } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import {
    Client as ClientV2,
    SSEClientTransport as SseV2,
    StreamableHTTPClientTransport as HttpV2,
} from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { NdjsonTransport } from './ndjson.mjs';
import { eventually } from './report.mjs';

/** v1: @modelcontextprotocol/sdk; v2: @modelcontextprotocol/client as it comes; v2-auto: the same, probing
 *  for the 2026 era first, which a legacy server must survive and answer so that it falls back. */
export const KINDS = ['v1', 'v2', 'v2-auto'];
export const LATEST_LEGACY = '2025-11-25';

const CLIENT_INFO = { name: 'mcpool-interop', version: '1.0.0' };
const FULL = { sampling: {}, elicitation: {}, roots: { listChanged: true } };

const TRANSPORTS = {
    v1: { http: HttpV1, sse: SseV1, stdio: StdioV1 },
    v2: { http: HttpV2, sse: SseV2, stdio: StdioV2 },
};

function newTransport(major, endpoint) {
    const Transport = TRANSPORTS[major][endpoint.kind];
    switch (endpoint.kind) {
        case 'http':
        case 'sse':
            return new Transport(new URL(endpoint.url));
        case 'stdio':
            return new Transport({ ...endpoint.spawn, stderr: 'ignore' });
        case 'unix':
            return new NdjsonTransport(endpoint.path);
        default:
            throw new Error(`unknown endpoint kind ${endpoint.kind}`);
    }
}

export class Peer {
    /** Every notification but progress that reached the application, in order. */
    notes = [];
    /** The params of every progress notification, as they came over the wire. Not all of them reach the
     *  application: the SDKs handle a notification a turn later than an answer, so progress that arrives in one
     *  chunk with the answer finds its call already gone, and is reported as an error. */
    progress = [];
    /** The asks that reached this client: {method, params}. */
    asks = [];
    /** The ids of the requests it sent, as they went over the wire. */
    sentIds = [];
    errors = [];
    /** The protocol revision the server answered `initialize` with. */
    revision;

    /**
     * Connects a client of `kind` to `endpoint`. `options.capabilities` defaults to sampling, elicitation and
     * roots; `options.elicit`, `options.sample` and `options.roots` answer the asks of a server.
     */
    static async connect(kind, endpoint, options = {}) {
        const peer = new Peer(kind, endpoint, options);
        await peer.client.connect(peer.transport);
        return peer;
    }

    constructor(kind, endpoint, options) {
        this.kind = kind;
        this.major = kind === 'v1' ? 'v1' : 'v2';
        this.endpoint = endpoint;
        const capabilities = options.capabilities ?? FULL;
        this.client =
            this.major === 'v1'
                ? new v1.Client(CLIENT_INFO, { capabilities })
                : new ClientV2(CLIENT_INFO, {
                      capabilities,
                      ...(kind === 'v2-auto' && { versionNegotiation: { mode: 'auto' } }),
                  });
        this.client.fallbackNotificationHandler = async note => void this.notes.push(note);
        this.client.onerror = error => {
            if (!/progress notification for an unknown token/.test(error.message)) this.errors.push(error);
        };
        if (capabilities.sampling) {
            this.#answer(
                'sampling/createMessage',
                types.CreateMessageRequestSchema,
                options.sample ?? sample,
            );
        }
        if (capabilities.elicitation) {
            this.#answer('elicitation/create', types.ElicitRequestSchema, options.elicit ?? elicit);
        }
        if (capabilities.roots) {
            this.#answer('roots/list', types.ListRootsRequestSchema, () => ({ roots: options.roots ?? [] }));
        }
        this.transport = newTransport(this.major, endpoint);
        this.#tap();
    }

    #answer(method, schema, handler) {
        this.client.setRequestHandler(this.major === 'v1' ? schema : method, async request => {
            this.asks.push({ method, params: request.params });
            return handler(request.params);
        });
    }

    // The SDKs chain a callback that is set before connect(), so this sees what the client sees.
    #tap() {
        this.transport.onmessage = message => {
            if (message.method === 'notifications/progress') this.progress.push(message.params);
            if (message.result?.protocolVersion) this.revision = message.result.protocolVersion;
        };
        const send = this.transport.send.bind(this.transport);
        this.transport.send = (message, ...rest) => {
            for (const one of Array.isArray(message) ? message : [message]) {
                if (one.method !== undefined && one.id !== undefined) this.sentIds.push(one.id);
            }
            return send(message, ...rest);
        };
    }

    get serverInfo() {
        return this.client.getServerVersion();
    }

    get serverCapabilities() {
        return this.client.getServerCapabilities();
    }

    /** Result of tools/call; `options` as the SDKs take them: signal, onprogress, timeout. */
    callTool(name, args = {}, options = {}) {
        const params = { name, arguments: args };
        return this.major === 'v1'
            ? this.client.callTool(params, undefined, options)
            : this.client.callTool(params, options);
    }

    /** Text of the first content item of a tool that must not fail. */
    async text(name, args, options) {
        const result = await this.callTool(name, args, options);
        const first = result.content?.[0]?.text;
        if (result.isError) throw new Error(`${name} failed: ${first}`);
        return first;
    }

    // v2 follows the cursors itself, v1 leaves that to the application.
    async #all(method, field) {
        if (this.major === 'v2') return (await this.client[method]())[field];
        const items = [];
        let cursor;
        do {
            const page = await this.client[method](cursor === undefined ? undefined : { cursor });
            items.push(...page[field]);
            cursor = page.nextCursor;
        } while (cursor !== undefined);
        return items;
    }

    listTools() {
        return this.#all('listTools', 'tools');
    }

    listPrompts() {
        return this.#all('listPrompts', 'prompts');
    }

    listResources() {
        return this.#all('listResources', 'resources');
    }

    listTemplates() {
        return this.#all('listResourceTemplates', 'resourceTemplates');
    }

    /** Waits for a notification that came at or after `since` (an earlier value of notes.length). */
    waitNote(method, matches = () => true, { since = 0, ms = 5_000 } = {}) {
        const found = () => this.notes.slice(since).find(n => n.method === method && matches(n.params));
        return eventually(found, ms, `no ${method}`);
    }

    /** Ends the session as a well-behaved client does: DELETE where the transport has it, then close. */
    async close() {
        if (this.endpoint.kind === 'http') await this.transport.terminateSession().catch(() => {});
        await this.client.close();
    }
}

function sample(params) {
    const prompt = params.messages[0].content.text;
    return { role: 'assistant', model: 'echo-model', content: { type: 'text', text: `sampled: ${prompt}` } };
}

function elicit(params) {
    const content = {};
    for (const name of params.requestedSchema?.required ?? []) content[name] = `given-${name}`;
    return { action: 'accept', content };
}
