// The official conformance runner against the fixture server, first straight over the fixture's own HTTP, then
// with the fixture as a stdio server behind mcpoold: what passes there must pass here.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ensure, equal, skip } from '../lib/report.mjs';
import { CONFORMANCE, startHttpFixture } from '../lib/servers.mjs';

const RUN_MS = 240_000;
const SUITES = [
    { name: '2025-11-25', args: ['--requirements', '2025-11-25'], scored: 30 },
    { name: '2025-06-18', args: ['--suite', 'all', '--spec-version', '2025-06-18'] },
];

export async function checkConformance(report, world) {
    if (!report.wants('conformance')) return;
    const baseline = await startHttpFixture();
    try {
        for (const suite of SUITES) {
            await report.check(
                `conformance ${suite.name}: direct`,
                async () => {
                    suite.direct = await runSuite(
                        suite,
                        baseline.url,
                        path.join(world.dir, 'direct', suite.name),
                    );
                    const scored = [...suite.direct.values()].filter(s => s.scored);
                    const passed = scored.filter(s => s.failed === 0).length;
                    if (suite.scored)
                        equal(`${passed}/${scored.length}`, `${suite.scored}/${suite.scored}`, 'marks');
                    ensure(scored.length > 0, 'no scenario ran');
                },
                { timeout: RUN_MS },
            );
            if (world.proxied && suite.direct) await compare(report, world, suite);
        }
    } finally {
        baseline.child.kill();
    }
}

async function compare(report, world, suite) {
    const outdir = path.join(world.dir, 'through', suite.name);
    let through = new Map();
    await report.check(
        `conformance ${suite.name}: through`,
        async () => {
            through = await runSuite(suite, world.endpoint('fixture', 'http').url, outdir);
            equal([...through.keys()].sort(), [...suite.direct.keys()].sort(), 'scenarios run');
        },
        { timeout: RUN_MS },
    );
    printTable(suite, through);
    for (const [scenario, direct] of suite.direct) {
        await report.check(`conformance ${suite.name}: ${scenario}`, () => {
            if (direct.failed > 0) skip('fails without mcpoold too');
            const got = through.get(scenario);
            ensure(got, 'did not run');
            // The runner reports nothing but information when a call was answered without closing its stream,
            // which nothing behind a pipe can ask for.
            const notApplicable = scenario === 'server-sse-polling' && got.passed + got.warned === 0;
            ensure(
                got.failed === 0 && (got.passed > 0 || notApplicable) && got.warned <= direct.warned,
                `${marks(got)} against ${marks(direct)}: ${complaints(outdir, scenario)}`,
            );
        });
    }
}

const marks = s => (s ? `${s.passed}+ ${s.failed}-${s.warned ? ` ${s.warned}?` : ''}` : 'did not run');

function printTable(suite, through) {
    const scored = table => [...table.values()].filter(s => s.scored);
    const total = table => `${scored(table).filter(s => s.failed === 0).length}/${scored(table).length}`;
    const row = (a, b, c) => console.log(`# ${a.padEnd(36)} ${b.padEnd(10)} ${c}`);
    row(suite.name, 'direct', 'through mcpoold');
    for (const [name, direct] of suite.direct) {
        row(name + (direct.scored ? '' : ' (not scored)'), marks(direct), marks(through.get(name)));
    }
    row('scenarios passed', total(suite.direct), total(through));
}

/** scenario → {passed, failed, warned, scored}, from the runner's summary. */
async function runSuite(suite, url, outdir) {
    // The runner's check against DNS rebinding accepts the name only.
    const at = url.replace('127.0.0.1', 'localhost');
    const args = [CONFORMANCE, 'server', '--url', at, ...suite.args, '--output-dir', outdir];
    const output = await new Promise(resolve => {
        execFile(process.execPath, args, { timeout: RUN_MS, maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
            resolve(stdout + stderr),
        );
    });
    const table = new Map();
    for (const m of output.matchAll(/^[✓✗] ([\w/-]+): (\d+) passed, (\d+) failed(?:, (\d+) warnings)?/gm)) {
        const [, name, passed, failed, warned] = m;
        table.set(name, { passed: +passed, failed: +failed, warned: +(warned ?? 0), scored: true });
    }
    ensure(table.size > 0, `the runner gave no summary: ${output.slice(-500)}`);
    for (const [, name] of output.matchAll(/^ {2}[✓✗] ([\w/-]+) \(/gm)) {
        if (table.has(name)) table.get(name).scored = false;
    }
    return table;
}

/** What the runner noted about the checks of `scenario` that failed. */
function complaints(outdir, scenario) {
    const found = [];
    for (const file of readdirSync(outdir, { recursive: true })) {
        if (!file.includes(scenario) || !file.endsWith('checks.json')) continue;
        for (const check of JSON.parse(readFileSync(path.join(outdir, file), 'utf8'))) {
            if (check.status === 'FAILURE' || check.status === 'WARNING')
                found.push(check.errorMessage ?? check.id);
        }
    }
    return found.join('; ');
}
