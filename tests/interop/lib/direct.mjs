// The world without mcpoold: clients straight at the servers. It exists to prove the checks themselves; a
// check that fails here is wrong, or a server is.
import { spawn } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import { getDefaultEnvironment } from '@modelcontextprotocol/sdk/client/stdio.js';
import { EVERYTHING, serverTable, startHttpFixture, startListening } from './servers.mjs';

export class DirectWorld {
    proxied = false;
    transports = ['stdio', 'unix', 'http', 'sse'];
    #children = [];
    #bridges = [];
    #urls = {};

    constructor(dir) {
        this.dir = dir;
        this.servers = serverTable(dir);
    }

    async start() {
        const fixture = await startHttpFixture();
        this.#children.push(fixture.child);
        this.#urls.fixture = { http: fixture.url };
        this.#urls.everything = {
            http: await this.#everything('streamableHttp', '/mcp'),
            sse: await this.#everything('sse', '/sse'),
        };
        for (const name of Object.keys(this.servers)) await this.#bridge(name);
    }

    async #everything(transport, where) {
        const env = { PORT: String(await freePort()) };
        const { child, found } = await startListening([EVERYTHING, transport], env, /port (\d+)/);
        this.#children.push(child);
        return `http://localhost:${found}${where}`;
    }

    // A unix socket that starts one server process per connection: no pooling, no mapping, only bytes.
    #bridge(name) {
        const { command, args, env } = this.servers[name];
        const listener = net.createServer(socket => {
            const child = spawn(command, args, {
                env: { ...process.env, ...env },
                stdio: ['pipe', 'pipe', 'ignore'],
            });
            this.#children.push(child);
            socket.pipe(child.stdin);
            child.stdout.pipe(socket);
            child.stdin.on('error', () => {});
            socket.on('error', () => {});
            socket.on('close', () => child.kill());
        });
        this.#bridges.push(listener);
        return new Promise(resolve => listener.listen(this.#socket(name), resolve));
    }

    #socket(name) {
        return path.join(this.dir, `${name}.sock`);
    }

    /** Where a client finds `server` over `transport`; null when that server does not speak it itself. */
    endpoint(server, transport) {
        if (transport === 'unix') return { kind: 'unix', path: this.#socket(server) };
        if (transport === 'stdio') {
            const { command, args, env } = this.servers[server];
            return { kind: 'stdio', spawn: { command, args, env: { ...getDefaultEnvironment(), ...env } } };
        }
        const url = this.#urls[server]?.[transport];
        return url ? { kind: transport, url } : null;
    }

    async stop() {
        for (const listener of this.#bridges) listener.close();
        for (const child of this.#children) child.kill('SIGKILL');
    }
}

function freePort() {
    return new Promise(resolve => {
        const listener = net.createServer();
        listener.listen(0, '127.0.0.1', () => {
            const { port } = listener.address();
            listener.close(() => resolve(port));
        });
    });
}
