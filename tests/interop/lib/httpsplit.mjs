// Splits one direction of an HTTP/1.1 connection into messages, as bytes arrive. For recording and replaying
// what well-behaved peers say, so it refuses nothing.

export class HttpSplitter {
    #onMessage;
    #onDone;
    #buffer = Buffer.alloc(0);
    #current = null;
    #left = 0;
    #step = this.#head;

    /** Calls `onMessage(message)` at the end of each head, `onDone(message)` at the end of its body. */
    constructor(onMessage, onDone = () => {}) {
        this.#onMessage = onMessage;
        this.#onDone = onDone;
    }

    push(chunk) {
        this.#buffer = Buffer.concat([this.#buffer, chunk]);
        while (this.#step());
    }

    /** The peer closed: a body without a length ends here. */
    end() {
        if (this.#current) this.#finish();
    }

    #take(count) {
        const bytes = this.#buffer.subarray(0, count);
        this.#buffer = this.#buffer.subarray(count);
        return bytes;
    }

    #takeLine(end) {
        const at = this.#buffer.indexOf(end);
        return at < 0
            ? null
            : this.#take(at + end.length)
                  .toString('latin1')
                  .slice(0, -end.length);
    }

    #head() {
        const text = this.#takeLine('\r\n\r\n');
        if (text === null) return false;
        const [start, ...lines] = text.split('\r\n');
        const headers = lines.map(l => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 1).trim()]);
        const header = name => headers.find(([n]) => n.toLowerCase() === name)?.[1];
        this.#current = { start, headers, header, body: '', done: false };
        this.#onMessage(this.#current);
        this.#left = Number(header('content-length') ?? 0);
        const bodiless = /^HTTP\/1\.1 (1\d\d|204|304)/.test(start);
        if (header('transfer-encoding') === 'chunked') this.#step = this.#chunkSize;
        else if (header('content-length') !== undefined) this.#step = this.#sized;
        else if (start.startsWith('HTTP/') && !bodiless) this.#step = this.#untilClose;
        else this.#finish();
        return true;
    }

    #finish() {
        const message = this.#current;
        message.done = true;
        this.#current = null;
        this.#step = this.#head;
        this.#onDone(message);
        return true;
    }

    #sized() {
        if (this.#buffer.length < this.#left) return false;
        this.#current.body = this.#take(this.#left).toString('utf8');
        return this.#finish();
    }

    #untilClose() {
        this.#current.body += this.#take(this.#buffer.length).toString('utf8');
        return false;
    }

    #chunkSize() {
        const line = this.#takeLine('\r\n');
        if (line === null) return false;
        this.#left = parseInt(line, 16);
        this.#step = this.#chunk;
        return true;
    }

    #chunk() {
        if (this.#buffer.length < this.#left + 2) return false;
        this.#current.body += this.#take(this.#left).toString('utf8');
        this.#take(2);
        if (this.#left === 0) return this.#finish();
        this.#step = this.#chunkSize;
        return true;
    }
}
