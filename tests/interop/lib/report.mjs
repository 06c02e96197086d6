// One line per check, and the closing line that CI reads. A check passes, fails with the reason, or is
// skipped with the reason; it can never hang the suite, because each has a time limit.

export class Skip extends Error {}

/** Ends the running check as skipped. */
export function skip(reason) {
    throw new Skip(reason);
}

/** Ends the running check as failed unless `condition` holds. */
export function ensure(condition, message) {
    if (!condition) throw new Error(message);
}

/** As ensure(), for two values that must be equal as JSON; names both when they are not. */
export function equal(actual, expected, what) {
    const a = JSON.stringify(actual);
    const e = JSON.stringify(expected);
    ensure(a === e, `${what}: expected ${clip(e)}, got ${clip(a)}`);
}

export function clip(s, max = 200) {
    const flat = String(s).replace(/[\x00-\x1f\x7f]/g, c => JSON.stringify(c).slice(1, -1));
    return flat.length > max ? `${flat.slice(0, max)}… (${flat.length} characters)` : flat;
}

/** Rejects with `message` when `promise` is not settled in `ms`. */
export async function within(ms, promise, message) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${message} (${ms} ms)`)), ms);
    });
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

/** Calls `probe` until it returns something true; that is the result. */
export async function eventually(probe, ms, message) {
    const end = Date.now() + ms;
    for (;;) {
        const value = await probe();
        if (value) return value;
        if (Date.now() > end) throw new Error(`${message} (${ms} ms)`);
        await new Promise(resolve => setTimeout(resolve, 20));
    }
}

export class Report {
    #counts = { passed: 0, failed: 0, skipped: 0 };
    #failures = [];

    constructor({ only, timeout = 30_000 } = {}) {
        this.only = only;
        this.timeout = timeout;
    }

    /** Whether the group of checks of this name is to run at all under --only. */
    wants(name) {
        return !this.only || this.only.test(name);
    }

    /** Runs one check; resolves to whether it passed. Never rejects. */
    async check(name, fn, { timeout = this.timeout } = {}) {
        const start = performance.now();
        let verdict = 'passed';
        let reason = '';
        try {
            await within(timeout, Promise.resolve().then(fn), 'no end in time');
        } catch (error) {
            verdict = error instanceof Skip ? 'skipped' : 'failed';
            reason = clip(error?.message ?? error, 600);
        }
        this.#counts[verdict]++;
        if (verdict === 'failed') this.#failures.push(`${name}: ${reason}`);
        const mark = { passed: 'ok     ', failed: 'not ok ', skipped: 'skip   ' }[verdict];
        const ms = `${Math.round(performance.now() - start)} ms`;
        console.log(`${mark}${name}${reason ? ` # ${reason}` : ''} (${ms})`);
        return verdict !== 'failed';
    }

    /** Prints the failures again and the closing line; the exit status of the suite. */
    finish() {
        for (const failure of this.#failures) console.log(`FAILED ${failure}`);
        const { passed, failed, skipped } = this.#counts;
        console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
        // A run in which no check ran proves nothing.
        return failed > 0 || passed === 0 ? 1 : 0;
    }
}
