// The client against a real server, which is killed and started again.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { Tocsin, TocsinError } from '../tocsin.js';
import { Server, tocsin, until } from './server.js';

const subjects = (events) => events.map(({ content }) => valueOf(content, 'Subject'));
const valueOf = ({ attributes }, wanted) => attributes.attribute.find(({ name }) => name === wanted)?.value[0];
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => String(from + at));

/** What an iterator brings, until there are so many. */
async function take(iterable, count) {
    const taken = [];
    for await (const event of iterable) {
        if (taken.push(event) === count) return taken;
    }
    return taken;
}

describe('without authentication', () => {
    let server;
    let client;
    const problems = [];
    before(async () => {
        server = await Server.start();
        client = new Tocsin({ server: server.url, onProblem: (fault) => problems.push(fault) });
    });
    after(() => server.stop());

    /** Each test has a box of its own. */
    const send = async (box, from, to) => {
        for (const subject of range(from, to)) await server.send(box, subject);
    };
    const objects = (box, options = {}) => ({ box, attributes: true, ...options });
    /** A channel and a subscription whose objects are collected. */
    const listen = async (box, options = {}) => {
        const channel = await client.open({ user: box, onState: options.onState });
        const seen = [];
        const onEvent = (event) => event.kind === 'changedObject' && seen.push(event);
        const subscription = await channel.subscribe(objects(box, { onEvent, ...options }));
        return { channel, subscription, seen };
    };

    test('what happens in a box comes, in order, with index and token', async () => {
        const channel = await client.open({ user: 'ann' });
        const subscription = await channel.subscribe(objects('ann'));
        await send('ann', 1, 3);
        const [folder, ...events] = await take(subscription, 4);
        assert.equal(folder.kind, 'changedFolder');
        assert.deepEqual(subjects(events), ['1', '2', '3']);
        assert.deepEqual([folder, ...events].map(({ index }) => index), [1, 2, 3, 4]);
        assert.equal(subscription.restartToken, events[2].restartToken);
        await channel.close();
        assert.deepEqual(await take(subscription, 9), [], 'the iterator ends');
        assert.equal(await client.find(channel.resourceURL), null, 'nothing is left');
    });

    test('who comes back with a token goes on from there', async () => {
        const first = await listen('back');
        await send('back', 1, 2);
        await until('two', () => first.seen.length === 2);
        await first.channel.close();
        await send('back', 3, 5);
        const second = await listen('back', { restartToken: first.seen[0].restartToken });
        await until('all', () => second.seen.length === 4);
        assert.deepEqual(subjects(second.seen), range(2, 5));
        await second.channel.close();
    });

    test('a channel that is gone is made anew, and nothing is lost', async () => {
        const { channel, seen } = await listen('gone');
        await send('gone', 1, 5);
        await client.request('DELETE', channel.resourceURL);
        await send('gone', 6, 10);
        await until('all', () => seen.length >= 10);
        assert.deepEqual(subjects(seen), range(1, 10));
        await channel.close();
    });

    test('a subscription that is gone is made anew when it is to be prolonged', async () => {
        const { channel, subscription, seen } = await listen('over', { durationSeconds: 2 });
        await send('over', 1, 2);
        await until('two', () => seen.length === 2);
        const url = subscription.url;
        await client.request('DELETE', url);
        await send('over', 3, 4);
        await until('all', () => seen.length >= 4);
        assert.deepEqual(subjects(seen), range(1, 4));
        assert.notEqual(subscription.url, url);
        await channel.close();
    });

    test('a list that is lost or comes twice is noticed and put right', async (t) => {
        const Real = globalThis.WebSocket;
        let frames = 0;
        globalThis.WebSocket = class extends Real {
            set onmessage(hear) {
                super.onmessage = hear && ((message) => {
                    if (!message.data.includes('notificationList')) return hear(message);
                    frames += 1;
                    if (frames !== 3) hear(message);
                    if (frames === 5) hear(message);
                });
            }
        };
        t.after(() => (globalThis.WebSocket = Real));
        const gaps = [];
        const { channel, subscription, seen } = await listen('lossy', { onGap: (gap) => gaps.push(gap) });
        for (let at = 1; at <= 8; at += 1) {
            const before = frames;
            await send('lossy', at, at);
            await until('a frame', () => frames > before);
        }
        await until('all', () => seen.length >= 8);
        assert.deepEqual(subjects(seen), range(1, 8));
        assert.deepEqual(gaps, [{ expected: gaps[0].expected, got: gaps[0].expected + 1 }]);
        assert.ok(subscription.duplicates > 0 && subscription.gaps === 1);
        await channel.close();
    });

    test('a slow reader gets everything all the same', async () => {
        const channel = await client.open({ user: 'slow' });
        const subscription = await channel.subscribe(objects('slow', { bufferMax: 3 }));
        await send('slow', 1, 12);
        const [, ...events] = await take(subscription, 13);
        assert.deepEqual(subjects(events), range(1, 12));
        await channel.close();
    });

    test('one channel serves several boxes', async () => {
        const channel = await client.open({ user: 'two' });
        const [left, right] = [await channel.subscribe(objects('left')), await channel.subscribe(objects('right'))];
        await send('left', 1, 1);
        await send('right', 2, 2);
        assert.deepEqual(subjects((await take(left, 2)).slice(1)), ['1']);
        assert.deepEqual(subjects((await take(right, 2)).slice(1)), ['2']);
        await left.close();
        await send('right', 3, 3);
        assert.deepEqual(subjects(await take(right, 1)), ['3']);
        await channel.close();
    });

    test('a refusal says why', async () => {
        const channel = await client.open({ user: 'wrong' });
        const wrong = channel.subscribe({ box: 'wrong', filter: { criterion: [{ type: 'Attribute' }] } });
        await assert.rejects(wrong, (fault) => fault instanceof TocsinError && fault.status === 400);
        await channel.close();
    });

    test('the server is killed under load, and each client gets all of it once', async () => {
        const states = [];
        const { channel, seen } = await listen('killed', { onState: (state) => states.push(state) });
        await server.post('/api/event-types', { name: 'note', title: 'A note' });
        const tell = (text) => server.post('/api/events', { type: 'note', title: text, users: ['killed'] });
        const speak = (text) => server.post('/api/rooms/builds', { obj: text });
        const told = { inbox: [], room: [] };
        const listeners = [
            client.inbox({ user: 'killed', onEvent: ({ notification }) => told.inbox.push(notification.event.title) }),
            client.room('builds', { onEvent: ({ obj }) => told.room.push(obj) }),
        ];
        await until('they listen', () => listeners.every(({ state }) => state === 'open') && channel.state === 'open');
        await send('killed', 1, 10);
        await server.kill();
        await server.run();
        await Promise.all([send('killed', 11, 20), tell('a'), speak('a')]);
        await until('both', () => seen.length >= 20 && told.inbox.length >= 1 && told.room.length >= 1);
        await server.kill();
        await server.run();
        await Promise.all([send('killed', 21, 30), tell('b'), speak('b')]);
        await until('all', () => seen.length >= 30 && told.inbox.length >= 2 && told.room.length >= 2);
        assert.deepEqual(subjects(seen), range(1, 30));
        assert.deepEqual(told, { inbox: ['a', 'b'], room: ['a', 'b'] });
        assert.ok(states.filter((state) => state === 'open').length >= 3, String(states));
        assert.ok(problems.length > 0, 'what went wrong is told');
        await Promise.all([channel, ...listeners].map((one) => one.close()));
    });
});

describe('with tokens', () => {
    let server;
    const issue = (seconds) => {
        const key = server.file('jwt.pem');
        return tocsin('token', 'issue', '--key', key, '--user', 'ann', '--expires', `${seconds}s`);
    };
    before(async () => {
        server = new Server(['--auth', 'jwt']);
        tocsin('token', 'key', '--out', server.file('jwt'));
        const settings = `[jwt]\nkey_file = "${server.file('jwt.pub.pem')}"\nleeway_seconds = 0\n`;
        writeFileSync(server.file('tocsin.toml'), settings);
        server.configure('--config', server.file('tocsin.toml'));
        await server.run();
    });
    after(() => server.stop());

    test('the socket outlives its tokens, since newer ones are brought in time', async () => {
        let issued = 0;
        const states = [];
        const token = async () => ((issued += 1), issue(4));
        const client = new Tocsin({ server: server.url, token });
        const channel = await client.open({ user: 'acr:auth', onState: (state) => states.push(state) });
        const inbox = client.inbox({ onState: (state) => states.push(`inbox ${state}`) });
        const subscription = await channel.subscribe({ box: 'ann', attributes: true });
        const before = issued;
        await new Promise((resolve) => setTimeout(resolve, 6000));
        await server.send('ann', 'late', issue(60));
        assert.deepEqual(subjects((await take(subscription, 2)).slice(1)), ['late']);
        assert.ok(issued > before);
        assert.deepEqual(states.toSorted(), ['connecting', 'inbox connecting', 'inbox open', 'open']);
        await Promise.all([channel.close(), inbox.close()]);
    });

    test('without a token in time the socket is lost, and opened again with the next one', async () => {
        let current = issue(2);
        const problems = [];
        const client = new Tocsin({ server: server.url, token: () => current, onProblem: (fault) => problems.push(fault) });
        const states = [];
        const channel = await client.open({ user: 'ann', onState: (state) => states.push(state) });
        const subscription = await channel.subscribe({ box: 'ann', attributes: true });
        await until('it is refused', () => problems.some(({ status }) => status === 401));
        await server.send('ann', 'meanwhile', issue(60));
        current = issue(60);
        assert.deepEqual(subjects(await take(subscription, 1)), ['meanwhile']);
        assert.ok(states.filter((state) => state === 'open').length >= 2);
        await channel.close();
    });

    test('nobody gets in without one', async () => {
        await assert.rejects(new Tocsin({ server: server.url }).open({ user: 'ann' }), { status: 401 });
    });
});
