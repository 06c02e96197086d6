// A client's session as a text to read, and the replay of its client side.
//
// Entries in the order in which they were complete, each a line `>>> N` (client) or `<<< N` (server; N is the
// request it answers) and then what was said: an HTTP message with the chunked framing removed, or one line of
// NDJSON. What differs from run to run is replaced by a word in braces.
import net from 'node:net';
import { HttpSplitter } from './httpsplit.mjs';
import { clip, ensure, equal, eventually } from './report.mjs';

const WAIT_MS = 10_000;
const CONNECTION_HEADERS = new Set([
    'date',
    'connection',
    'keep-alive',
    'transfer-encoding',
    'content-length',
]);

/** The JSON-RPC messages in a body: of a JSON body itself, of an event stream the data of its events. */
export function messagesIn(body) {
    const texts = body.trimStart().startsWith('{')
        ? [body]
        : body
              .split(/\r?\n\r?\n/)
              .map(event => [...event.matchAll(/^data: ?(.*)$/gm)].map(m => m[1]).join('\n'))
              .filter(data => data.startsWith('{'));
    return texts.map(t => JSON.parse(t));
}

/** Records every connection that a client makes to the endpoint this stands in front of. */
export class Recorder {
    #listener;
    #sockets = new Set();
    #entries = [];
    #open = new Map();
    #count = 0;
    #words = new Map();

    constructor(endpoint) {
        this.target = endpoint;
    }

    /** Resolves to the endpoint the client is to use instead. */
    async start(dir) {
        this.#listener = net.createServer(socket => this.#accept(socket));
        if (this.target.kind === 'unix') {
            const path = `${dir}/tee-${process.hrtime.bigint()}.sock`;
            await new Promise(resolve => this.#listener.listen(path, resolve));
            return { ...this.target, path };
        }
        await new Promise(resolve => this.#listener.listen(0, '127.0.0.1', resolve));
        const url = new URL(this.target.url);
        url.hostname = '127.0.0.1';
        url.port = String(this.#listener.address().port);
        this.#words.set(url.host, '{host}').set(new URL(this.target.url).host, '{host}');
        return { ...this.target, url: url.href };
    }

    #accept(client) {
        const server = connect(this.target);
        const record = this.target.kind === 'unix' ? this.#lines() : this.#http();
        for (const [from, to, side] of [
            [client, server, record.client],
            [server, client, record.server],
        ]) {
            this.#sockets.add(from);
            from.on('data', chunk => {
                side.push(chunk);
                to.write(chunk);
            });
            from.on('end', () => side.end());
            from.on('close', () => to.destroy());
            from.on('error', () => {});
        }
    }

    #lines() {
        const side = mark => {
            let rest = '';
            return {
                push: chunk => {
                    const lines = (rest + chunk.toString('utf8')).split('\n');
                    rest = lines.pop();
                    for (const line of lines) this.#entries.push({ mark: `${mark} -`, read: () => line });
                },
                end: () => {},
            };
        };
        return { client: side('>>>'), server: side('<<<') };
    }

    // A response is placed where it was complete; a stream that never was comes last.
    #http() {
        const unanswered = [];
        const entry = (mark, message) => ({ mark, read: () => printHttp(message) });
        const client = new HttpSplitter(message => {
            const number = ++this.#count;
            unanswered.push(number);
            this.#entries.push(entry(`>>> ${number}`, message));
        });
        const server = new HttpSplitter(
            message => {
                const id = message.header('mcp-session-id');
                if (id) this.#words.set(id, '{session}');
                this.#open.set(message, entry(`<<< ${unanswered.shift()}`, message));
            },
            message => {
                this.#entries.push(this.#open.get(message));
                this.#open.delete(message);
            },
        );
        return { client, server };
    }

    /** Ends the recording; the text of the transcript. */
    finish(title) {
        this.#listener.close();
        for (const socket of this.#sockets) socket.destroy();
        const texts = [...this.#entries, ...this.#open.values()].map(e => `${e.mark}\n${e.read()}\n`);
        let text = texts.join('\n');
        for (const [, id] of text.matchAll(/[?&]sessionId=([\w.~-]+)/g)) this.#words.set(id, '{session}');
        for (const [value, word] of this.#words) text = text.replaceAll(value, word);
        return `# ${title}\n\n${text}`;
    }
}

function printHttp({ start, headers, body }) {
    const kept = headers.filter(([name]) => !CONNECTION_HEADERS.has(name.toLowerCase()));
    const lines = [start, ...kept.map(([name, value]) => `${name}: ${value}`), ''];
    // Event ids and keep-alive comments depend on timing.
    const steady = body.replace(/^id: ?.*$/gm, 'id: {event}').replace(/^:.*\r?\n(\r?\n)?/gm, '');
    return [...lines, steady.replaceAll('\r', '').trimEnd()].join('\n').trimEnd();
}

function connect(endpoint) {
    if (endpoint.kind === 'unix') return net.connect(endpoint.path);
    const { hostname, port } = new URL(endpoint.url);
    return net.connect(Number(port), hostname);
}

function parse(text) {
    const entries = [];
    for (const part of text.split(/^(?=(?:>>>|<<<) )/m).slice(1)) {
        const [mark, ...lines] = part.trimEnd().split('\n');
        const [side, number] = mark.split(' ');
        const blank = lines.indexOf('');
        const http = /HTTP\/1\.1/.test(lines[0]);
        const head = http ? lines.slice(0, blank < 0 ? undefined : blank) : [];
        const body = http ? (blank < 0 ? '' : lines.slice(blank + 1).join('\n')) : lines.join('\n');
        entries.push({ side, number, head, body, messages: body ? messagesIn(body) : [] });
    }
    return entries;
}

/**
 * Says the client's side of a transcript to `endpoint` again and demands the same from the server's side: the
 * same status for each HTTP request, and over the whole session the same JSON-RPC messages.
 */
export async function replay(text, endpoint) {
    const entries = parse(text);
    const said = entries.filter(e => e.side === '<<<');
    ensure(said.length > 0, 'an empty transcript');
    const player = endpoint.kind === 'unix' ? new LinePlayer(endpoint) : new HttpPlayer(endpoint);
    try {
        for (const [at, entry] of entries.entries()) {
            if (entry.side !== '>>>') continue;
            // What the client had heard when it said this, it must have heard again.
            const before = entries.slice(0, at).filter(e => e.side === '<<<');
            for (const id of before
                .flatMap(e => e.messages)
                .filter(isResponse)
                .map(m => m.id)) {
                await player.heard(m => isResponse(m) && m.id === id, `the answer to ${id}`);
            }
            for (const answer of entry.messages.filter(isResponse)) {
                await player.heard(m => m.method && m.id === answer.id, `the ask ${answer.id}`);
            }
            await player.say(
                entry,
                said.find(e => e.number === entry.number),
            );
        }
        const wanted = said
            .flatMap(e => e.messages)
            .filter(isSteady)
            .map(normal)
            .sort();
        const heard = () => player.messages().filter(isSteady).map(normal).sort();
        await eventually(() => heard().length >= wanted.length, WAIT_MS, 'messages are missing').catch(
            () => {},
        );
        difference(heard(), wanted);
    } finally {
        player.close();
    }
}

const isResponse = m => m.method === undefined && m.id !== undefined;
// List changes are told whenever they are noticed, and may be told once for several.
const isSteady = m => !m.method?.endsWith('/list_changed');
const normal = m => JSON.stringify(m).replace(/"pid":\d+/g, '"pid":0');

function difference(heard, wanted) {
    const rest = [...wanted];
    const extra = heard.filter(m => {
        const at = rest.indexOf(m);
        if (at >= 0) rest.splice(at, 1);
        return at < 0;
    });
    const list = (what, ms) => ms.slice(0, 3).map(m => `${what} ${clip(m)}`);
    equal([...list('missing', rest), ...list('extra', extra)], [], 'messages of the server');
}

class Player {
    constructor(endpoint) {
        this.endpoint = endpoint;
    }

    heard(matches, what) {
        return eventually(() => this.messages().some(matches), WAIT_MS, `replay waits for ${what}`);
    }
}

class LinePlayer extends Player {
    #socket = connect(this.endpoint);
    #text = '';

    constructor(endpoint) {
        super(endpoint);
        this.#socket.setEncoding('utf8');
        this.#socket.on('data', chunk => (this.#text += chunk));
        this.#socket.on('error', () => {});
    }

    messages() {
        const lines = this.#text.slice(0, this.#text.lastIndexOf('\n') + 1).split('\n');
        return lines.filter(Boolean).map(line => JSON.parse(line));
    }

    async say({ body }) {
        this.#socket.write(`${body}\n`);
    }

    close() {
        this.#socket.destroy();
    }
}

class HttpPlayer extends Player {
    #sockets = [];
    #responses = [];

    messages() {
        return this.#responses.flatMap(r =>
            messagesIn(r.body.slice(0, r.done ? undefined : eventEnd(r.body))),
        );
    }

    // Only as far as the first responses go, which name it.
    #session() {
        for (const r of this.#responses) {
            const id = r.header('mcp-session-id') ?? /[?&]sessionId=([\w.~-]+)/.exec(r.body)?.[1];
            if (id) return id;
        }
        return '{session}';
    }

    async say(request, answer) {
        const fill = s =>
            s.replaceAll('{host}', new URL(this.endpoint.url).host).replaceAll('{session}', this.#session());
        const isStream = request.head[0].startsWith('GET ');
        if (request.head[0].includes('{session}')) {
            await eventually(
                () => this.#session() !== '{session}',
                WAIT_MS,
                'replay waits for the endpoint event',
            );
        }
        const body = fill(request.body);
        const head = [...request.head.map(fill), `content-length: ${Buffer.byteLength(body)}`];
        if (isStream) head.pop();
        const socket = connect(this.endpoint);
        this.#sockets.push(socket);
        let response = null;
        const splitter = new HttpSplitter(message => {
            response = message;
            this.#responses.push(message);
        });
        socket.on('data', chunk => splitter.push(chunk));
        socket.on('end', () => splitter.end());
        socket.on('error', () => {});
        socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
        await eventually(() => response, WAIT_MS, `replay waits for the head of answer ${request.number}`);
        const status = start => start.split(' ')[1];
        if (answer) equal(status(response.start), status(answer.head[0]), `status of ${request.head[0]}`);
    }

    close() {
        for (const socket of this.#sockets) socket.destroy();
    }
}

/** Length of the events in `body` that are complete. */
const eventEnd = body => body.lastIndexOf('\n\n') + 1;
