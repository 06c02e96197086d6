// server-filesystem and server-memory: lists, calls that change something, and a result of megabytes.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ensure, equal } from '../lib/report.mjs';
import { inSession } from './session.mjs';

const MEGABYTE = 1 << 20;

export function checkFilesystem(report, place) {
    const dir = path.join(place.world.dir, 'files');
    return inSession(report, place, async (check, peer) => {
        await check('tools/list', async () => {
            const listed = await peer.listTools();
            ensure(listed.length >= 13, `${listed.length} tools`);
            ensure(
                listed.every(t => t.inputSchema.type === 'object' && t.description),
                'a tool without a schema',
            );
        });
        await check('read a file', async () => {
            const file = path.join(dir, 'hello.txt');
            equal(await peer.text('read_text_file', { path: file }), readFileSync(file, 'utf8'), 'text');
        });
        await check('write a file', async () => {
            const file = path.join(dir, `${place.name.replaceAll(' ', '-')}.txt`);
            const content = `written by ${place.name} 🦀\r\n`;
            await peer.text('write_file', { path: file, content });
            equal(readFileSync(file, 'utf8'), content, 'what is in the file');
        });
        await check('a refusal of the server', async () => {
            const result = await peer.callTool('read_text_file', { path: '/etc/passwd' });
            ensure(result.isError, 'a file outside was read');
            ensure(result.content[0].text.includes('Access denied'), result.content[0].text);
        });
        await check('big result', () => bigFile(place, peer, dir));
    });
}

// The server sends the text twice, as content and as structured content. The SDKs' own stdio transport
// takes at most 10 MiB a message, so that alone gets a smaller file.
async function bigFile(place, peer, dir) {
    const bytes = (place.transport === 'stdio' ? 3 : 6) * MEGABYTE;
    const file = path.join(dir, 'big.txt');
    const line = 'The quick brown fox "jumps" over\\ the lazy dog. é漢🦀\n';
    writeFileSync(file, line.repeat(Math.ceil(bytes / Buffer.byteLength(line))));
    const got = await peer.callTool('read_text_file', { path: file });
    const hash = s => createHash('sha256').update(s).digest('hex');
    equal(hash(got.content[0].text), hash(readFileSync(file)), 'SHA-256 of the content');
    equal(hash(got.structuredContent.content), hash(readFileSync(file)), 'SHA-256 of the structured content');
}

export function checkMemory(report, place) {
    return inSession(report, place, async (check, peer) => {
        const name = place.name.replaceAll(' ', '-');
        await check('tools/list', async () => {
            const names = (await peer.listTools()).map(t => t.name);
            for (const want of ['create_entities', 'search_nodes', 'delete_entities']) {
                ensure(names.includes(want), `no tool ${want}`);
            }
        });
        await check('create, find, delete', async () => {
            const entities = [{ name, entityType: 'check', observations: ['was here', 'é漢🦀'] }];
            await peer.callTool('create_entities', { entities });
            const found = await peer.callTool('open_nodes', { names: [name] });
            equal(found.structuredContent.entities, entities, 'entity');
            await peer.callTool('delete_entities', { entityNames: [name] });
            const gone = await peer.callTool('open_nodes', { names: [name] });
            equal(gone.structuredContent.entities, [], 'entities after the deletion');
        });
    });
}
