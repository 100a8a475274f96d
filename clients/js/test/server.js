// A server of its own for a test, on a private Postgres that goes with it.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { path } from '../tocsin.js';

const program = process.env.TOCSIN ?? join(import.meta.dirname, '../../../target/debug/tocsin');
export const PATIENCE = 30_000;

/** What the program prints. */
export const tocsin = (...args) => execFileSync(program, args, { encoding: 'utf8' }).trim();

export class Server {
    #dir = mkdtempSync(join(tmpdir(), 'tocsin-client-'));
    #args;
    #process = null;
    url = null;

    constructor(args = []) {
        this.#args = args;
    }

    /** More arguments. */
    configure(...args) {
        this.#args.push(...args);
    }

    static async start(...args) {
        const server = new Server(args);
        await server.run();
        return server;
    }

    /** Where files of the test may be. */
    file(name) {
        return join(this.#dir, name);
    }

    /** Starts it, at the same address as before. */
    async run() {
        const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
        const args = ['serve', '--data-dir', this.file('data'), '--listen', listen, ...this.#args];
        this.#process = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
        for await (const line of createInterface({ input: this.#process.stdout })) {
            if (!line.startsWith('READY ')) continue;
            this.url = line.slice('READY '.length);
            return;
        }
        throw new Error('the server did not start');
    }

    async #end(signal) {
        const ended = once(this.#process, 'exit');
        this.#process.kill(signal);
        await ended;
    }

    async kill() {
        await this.#end('SIGKILL');
    }

    async stop() {
        await this.#end('SIGTERM');
        rmSync(this.#dir, { recursive: true, force: true });
    }

    async post(target, body, token) {
        const headers = { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) };
        const answer = await fetch(this.url + target, { method: 'POST', headers, body: JSON.stringify(body) });
        if (!answer.ok) throw new Error(`${target}: ${answer.status} ${await answer.text()}`);
        return answer.json();
    }

    /** Puts an object into a box. */
    async send(box, subject, token) {
        const attribute = [{ name: 'Subject', value: [subject] }];
        const object = { parentFolderPath: '/inbox', attributes: { attribute } };
        return this.post(path`/nms/v1/default/${box}/objects`, { object }, token);
    }
}

/** Waits until something holds. */
export async function until(what, holds) {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
        const seen = await holds();
        if (seen) return seen;
        if (Date.now() > deadline) throw new Error(`gave up waiting: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}
