// The world with mcpoold between: one real daemon for the whole run, started from a generated config.
import { spawn } from 'node:child_process';
import { createWriteStream, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, within } from './report.mjs';
import { serverTable } from './servers.mjs';

const START_MS = 20_000;
const STOP_MS = 20_000;

export class DaemonWorld {
    proxied = true;
    transports = ['http', 'sse', 'unix'];
    log = '';
    #child;
    #exit;

    constructor(dir, program) {
        this.dir = dir;
        this.program = program;
        this.servers = serverTable(dir);
    }

    async start() {
        const config = path.join(this.dir, 'mcpool.json');
        const content = {
            listen: [this.origin ? new URL(this.origin).host : '127.0.0.1:0'],
            runtime_dir: this.dir,
            state_dir: this.dir,
            mcpServers: this.servers,
        };
        writeFileSync(config, JSON.stringify(content, null, 2));
        // What a sanitizer has to say must end the daemon, and reach the log that is searched for it.
        this.#child = spawn(this.program, ['--config', config], { stdio: ['ignore', 'inherit', 'pipe'] });
        const file = createWriteStream(path.join(this.dir, 'mcpoold.log'));
        this.#child.stderr.on('data', chunk => {
            file.write(chunk);
            this.log += chunk;
        });
        this.#exit = new Promise(resolve =>
            this.#child.on('close', (code, signal) => resolve({ code, signal })),
        );
        this.#child.on('error', error => (this.log += `cannot start ${this.program}: ${error.message}\n`));
        const early = this.#exit.then(({ code, signal }) => {
            throw new Error(`mcpoold ended (${signal ?? code}): ${this.log.slice(-2000)}`);
        });
        const up = eventually(
            () => /\bready\b/.test(this.log) && /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(this.log),
            START_MS,
            'mcpoold is not ready',
        );
        early.catch(() => {});
        this.origin = (await Promise.race([up, early]))[1];
    }

    /** Ends the daemon by `signal` and starts it again, with the same state and at the same port. */
    async restart(signal) {
        this.#child.kill(signal);
        await within(STOP_MS, this.#exit, 'mcpoold does not end');
        this.log = '';
        await this.start();
    }

    /** mcpoolctl lies beside the daemon. */
    get control() {
        return path.join(path.dirname(this.program), 'mcpoolctl');
    }

    #connect(server) {
        return ['--config', path.join(this.dir, 'mcpool.json'), 'connect', server];
    }

    get pid() {
        return this.#child.pid;
    }

    endpoint(server, transport) {
        switch (transport) {
            case 'http':
                return { kind: 'http', url: `${this.origin}/mcp/${server}` };
            case 'sse':
                return { kind: 'sse', url: `${this.origin}/sse/${server}` };
            case 'unix':
                return { kind: 'unix', path: path.join(this.dir, `${server}.sock`) };
            case 'connect':
                return { kind: 'stdio', spawn: { command: this.control, args: this.#connect(server) } };
            default:
                return null;
        }
    }

    /** Process ids of the server processes the daemon runs for `server` right now. */
    processes(server) {
        const wanted = this.servers[server].args.join('\0');
        return childrenOf(this.pid).filter(pid => read(`/proc/${pid}/cmdline`).includes(wanted));
    }

    /** Ends the daemon as a service manager would; {code, signal} of the daemon and pids left behind. */
    async stop() {
        if (!this.pid || this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#exit;
        const children = childrenOf(this.pid);
        this.#child.kill('SIGTERM');
        try {
            const end = await within(STOP_MS, this.#exit, 'mcpoold does not stop');
            return { ...end, left: children.filter(pid => read(`/proc/${pid}/stat`) !== '') };
        } catch (error) {
            this.#child.kill('SIGKILL');
            throw error;
        }
    }
}

function read(file) {
    try {
        return readFileSync(file, 'utf8');
    } catch {
        return '';
    }
}

function childrenOf(parent) {
    const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name));
    // The name in parentheses may hold anything, so fields are counted from its last parenthesis.
    const ppid = pid => Number(/\) \S (\d+) [^)]*$/.exec(read(`/proc/${pid}/stat`))?.[1]);
    return pids.filter(pid => ppid(pid) === parent).map(Number);
}
