// Newline-delimited JSON-RPC over a socket as an SDK transport. Both SDK majors ask for the same
// three methods and three callbacks, so one class serves both.
import net from 'node:net';
import { StringDecoder } from 'node:string_decoder';

export class NdjsonTransport {
    onclose;
    onerror;
    onmessage;

    #path;
    #socket;
    #decoder = new StringDecoder('utf8');
    #parts = [];

    constructor(path) {
        this.#path = path;
    }

    start() {
        return new Promise((resolve, reject) => {
            const socket = net.connect(this.#path);
            this.#socket = socket;
            socket.once('connect', resolve);
            socket.on('error', error => {
                reject(error);
                this.onerror?.(error);
            });
            socket.on('data', chunk => this.#receive(this.#decoder.write(chunk)));
            socket.on('close', () => this.onclose?.());
        });
    }

    // Parts are joined only when a line is complete: a message of megabytes arrives in 64 KiB pieces.
    #receive(text) {
        let start = 0;
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
            this.#parts.push(text.slice(start, end));
            start = end + 1;
            const line = this.#parts.join('');
            this.#parts = [];
            if (line.trim() !== '') this.#deliver(line);
        }
        if (start < text.length) this.#parts.push(text.slice(start));
    }

    #deliver(line) {
        let message;
        try {
            message = JSON.parse(line);
        } catch (error) {
            this.onerror?.(error);
            return;
        }
        this.onmessage?.(message);
    }

    send(message) {
        return new Promise((resolve, reject) => {
            if (!this.#socket || this.#socket.destroyed) {
                reject(new Error('not connected'));
                return;
            }
            this.#socket.write(`${JSON.stringify(message)}\n`, error => (error ? reject(error) : resolve()));
        });
    }

    async close() {
        this.#socket?.destroy();
    }
}
