// The interop suite: real MCP clients, through mcpoold, to real MCP servers. See tests/README.md.
//
//   run [--only REGEX] [--keep]      through mcpoold ($MCPOOLD, default build/mcpoold)
//   run --direct ...                 without it: proves the checks themselves
//   run --record --only transcript   writes transcripts/ anew
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { checkConformance } from './checks/conformance.mjs';
import { checkConnect } from './checks/connect.mjs';
import { checkCrossed } from './checks/crossed.mjs';
import { checkCurl } from './checks/curl.mjs';
import { checkEverything } from './checks/everything.mjs';
import { checkFilesystem, checkMemory } from './checks/files.mjs';
import { checkFixture } from './checks/fixture.mjs';
import { checkReborn } from './checks/reborn.mjs';
import { checkRestart, victims } from './checks/restart.mjs';
import { Place } from './checks/session.mjs';
import { checkSharing } from './checks/sharing.mjs';
import { checkTranscripts } from './checks/transcripts.mjs';
import { KINDS } from './lib/clients.mjs';
import { DaemonWorld } from './lib/daemon.mjs';
import { DirectWorld } from './lib/direct.mjs';
import { equal, Report } from './lib/report.mjs';

const SERVERS = {
    everything: checkEverything,
    filesystem: checkFilesystem,
    memory: checkMemory,
    fixture: checkFixture,
};

const { values: options } = parseArgs({
    options: {
        direct: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        only: { type: 'string' },
        record: { type: 'boolean', default: false },
    },
});

async function suite(report, world) {
    for (const kind of KINDS) {
        for (const transport of world.transports) {
            for (const [server, check] of Object.entries(SERVERS)) {
                await check(report, new Place(world, kind, transport, server));
            }
        }
    }
    await checkCrossed(report, world);
    await checkSharing(report, world);
    if (world.proxied) await checkRestart(report, world);
    if (world.proxied) await checkReborn(report, world);
    if (world.proxied) await checkConnect(report, world);
    await checkTranscripts(report, world, options);
    await checkCurl(report, world);
    await checkConformance(report, world);
}

/** The daemon's own end is a check: a clean exit, nothing left behind, no word from a sanitizer. */
async function checkEnd(report, world) {
    await report.check('mcpoold: clean end', async () => {
        const { code, signal, left } = await world.stop();
        equal({ code, signal }, { code: 0, signal: null }, 'exit');
        equal(left, [], 'server processes left behind');
        const bad = /AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed/.exec(world.log);
        equal(bad?.[0] ?? null, null, 'in the log');
    });
}

const dir = mkdtempSync(path.join(os.tmpdir(), 'mcpool-interop-'));
const program = path.resolve(process.env.MCPOOLD ?? path.join(import.meta.dirname, '../../build/mcpoold'));
const report = new Report({ only: options.only && new RegExp(options.only) });
const world = options.direct ? new DirectWorld(dir) : new DaemonWorld(dir, program);
Object.assign(world.servers, victims(world));

try {
    if (await report.check('start', () => world.start())) {
        await suite(report, world);
        if (world.proxied) await checkEnd(report, world);
    }
} finally {
    await world.stop().catch(error => console.log(`# ${error.message}`));
}
const status = report.finish();
if (options.keep || status !== 0) console.log(`# files of this run: ${dir}`);
else rmSync(dir, { recursive: true });
process.exit(status);
