// The servers of the suite: how each is started, whoever starts it.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const ROOT = path.resolve(import.meta.dirname, '..');

const script = name =>
    path.join(path.dirname(require.resolve(`@modelcontextprotocol/${name}/package.json`)), 'dist/index.js');
export const FIXTURE = path.join(ROOT, 'fixture/server.mjs');
export const EVERYTHING = script('server-everything');
export const CONFORMANCE = script('conformance');

/** Lays out the files the servers work on under `dir`; returns name → {command, args, env?, sharing?}. */
export function serverTable(dir) {
    const files = path.join(dir, 'files');
    mkdirSync(files, { recursive: true });
    writeFileSync(path.join(files, 'hello.txt'), 'hello from a file\nsecond line: é 漢 🦀\n');
    const node = (...args) => ({ command: process.execPath, args });
    return {
        everything: node(EVERYTHING),
        filesystem: node(script('server-filesystem'), files),
        memory: {
            ...node(script('server-memory')),
            env: { MEMORY_FILE_PATH: path.join(dir, 'memory.json') },
        },
        fixture: node(FIXTURE),
        // The other two ways of sharing, for what only they can do.
        'everything-own': { ...node(EVERYTHING), sharing: 'session' },
        'fixture-own': { ...node(FIXTURE), sharing: 'session' },
        'fixture-leased': { ...node(FIXTURE), sharing: 'exclusive' },
    };
}

/** A fixture to be killed, one for each place it is killed at: a breaker that one of them trips is its own. */
export function victim(dir) {
    return {
        command: process.execPath,
        args: [FIXTURE],
        env: { FIXTURE_TRACE: traceFile(dir) },
    };
}

export const traceFile = dir => path.join(dir, 'fixture.trace');

/**
 * Starts a server program with an HTTP listener of its own. Resolves to {child, found}: what `pattern`
 * captured on its stderr, where such programs tell that they listen.
 */
export function startListening(args, env, pattern) {
    const child = spawn(process.execPath, args, {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'ignore', 'pipe'],
    });
    return new Promise((resolve, reject) => {
        let seen = '';
        child.stderr.on('data', chunk => {
            seen += chunk;
            const match = pattern.exec(seen);
            if (match) resolve({ child, found: match[1] });
        });
        child.on('exit', code => reject(new Error(`${args[0]} ended (${code}): ${seen}`)));
    });
}

/** The fixture over its own HTTP, the baseline of what passes without a proxy. */
export async function startHttpFixture() {
    const { child, found } = await startListening([FIXTURE, '--http', '0'], {}, /listening on (\S+)/);
    return { child, url: found };
}
