// The console in a real browser, against a real server: what a user does.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until } from '../../clients/js/test/server.js';
import { BOX, CHANNELS, DESK, PHONE, assertAccessible, away, complaints, dark, focused, insert, lines, page, server, shows, text, type, watch } from './page.js';

test('before anything is watched, it says what to do', async () => {
    await shows('the node', '#ready', 'ready');
    await shows('the feed', '#feed-empty', 'Watch a box');
    await shows('no box yet', '#boxes', 'none');
    await page.click('#send button');
    assert.equal(await text('#said'), '', 'the browser asks for a text first');
    await type('#text', 'to nobody');
    await page.click('#send button');
    await shows('it says why', '#said', 'Watch a box first');
    await assertAccessible('an empty page');
});

test('a watched box shows what is inserted', async () => {
    await watch();
    await insert('first of all');
    await until('a line', async () => (await lines()).some((line) => line.includes('first of all')));
    await shows('the box', '#box-facts', BOX);
    await shows('our channel', '#channels', 'this page');
    await shows('to whom it sends', '#send-to', BOX);
});

test('a search filters', async () => {
    await insert('apples and pears');
    await until('two lines', async () => (await lines()).length >= 3);
    await type('#search', 'PEARS');
    const seen = await lines();
    assert.equal(seen.length, 1);
    assert.match(seen[0], /apples and pears/);
    await insert('quinces'); // does not fit
    await until('it is counted', async () => (await text('#count')).startsWith('1 of 4'));
    await type('#search', '');
    assert.equal((await lines()).length, 4);
});

test('a pause holds the feed, and nothing is lost', async () => {
    await page.click('#pause');
    await insert('while paused');
    await shows('it waits', '#count', '1 waiting');
    assert.ok(!(await lines()).join().includes('while paused'));
    await page.click('#pause');
    assert.match((await lines())[0], /while paused/);
});

test('many events are told to those who hear the page in few words', async () => {
    await page.evaluate(() => {
        globalThis.heard = [];
        const ears = new MutationObserver(() => globalThis.heard.push(document.querySelector('#announced').textContent));
        ears.observe(document.querySelector('#announced'), { childList: true });
    });
    const before = (await lines()).length;
    for (let at = 0; at < 20; at += 1) await insert(`flood ${at}`);
    await until('all are shown', async () => (await lines()).length >= before + 20);
    await until('the last is told', () => page.evaluate(() => globalThis.heard.at(-1)?.includes('flood 19')));
    const heard = await page.evaluate(() => globalThis.heard);
    assert.ok(heard.length <= 3, heard.join('\n'));
    assert.match(heard.at(-1), /^\d+ events, the newest: changedObject, .*flood 19$/);
    assert.equal(await page.$('#feed[aria-live], #feed[role=log], #feed [aria-live]'), null, 'the feed itself is silent');
});

test('a message is sent, and its delivery explained', async () => {
    await type('#from', 'tel:+19585550101');
    await type('#text', 'sent from the console');
    await page.click('#send button');
    await until('it comes', async () => (await lines())[0]?.includes('sent from the console'));
    const seq = /lastModSeq (\d+)/.exec((await lines())[0])[1];
    await until('the subscription is listed', () => page.$eval('#of', (select) => select.options.length === 1));
    await type('#seq', seq);
    await until('it is confirmed', async () => {
        await page.click('#explain button');
        return (await text('#explanation')).startsWith('confirmed');
    });
    await page.click('.event:nth-child(3)');
    await until('a click on an event explains it', async () => (await page.$eval('#seq', (field) => field.value)) === String(seq - 2));
});

test('charts say in words what they show', async () => {
    const names = await page.$$eval('#charts svg[role=img]', (all) => all.map((one) => one.ariaLabel));
    assert.equal(names.length, 4);
    assert.match(names[0], /^Events: \d+(\.\d)?\/s now, between \d+(\.\d)?\/s and \d+(\.\d)?\/s in the last \d+ seconds$/);
    assert.match(names[3], /^Requests, p95: \d+(\.\d)? ms now/);
    const drawn = await page.$$eval('#charts polyline', (all) => all.length);
    assert.ok(drawn >= 3, `${drawn} lines`);
});

test('the keyboard is enough', async () => {
    await away();
    await page.focus('.skip');
    const order = [];
    for (let at = 0; at < 24; at += 1) {
        order.push(await focused());
        await page.keyboard.press('Tab');
    }
    assert.deepEqual(order, ['To the feed', 'Node', 'Boxes', 'Nodes', 'Feed', 'Webhooks', 'Send', 'Explain', 'help', 'token', 'Log in', 'user', 'box',
        'store', 'Watch', 'leave', 'boxes-filter', 'boxes-order', BOX, 'search', 'pause', 'feed', 'senders-state', 'from']);
    const outlined = await page.$$eval('a, button, input, select, textarea, summary, #feed', (all) => all.filter((one) => {
        if (!one.checkVisibility()) return false;
        one.focus({ focusVisible: true });
        return getComputedStyle(one).outlineStyle === 'none';
    }).map((one) => one.outerHTML));
    assert.deepEqual(outlined, [], 'who has the focus shows it');
    await page.focus('.skip');
    await page.keyboard.press('Enter');
    assert.equal(await focused(), 'feed-heading');
});

test('single keys lead everywhere, and can be turned off', async () => {
    const press = async (key) => {
        await page.keyboard.press(key);
        return focused();
    };
    await away();
    for (const [key, place] of [['/', 'search'], ['c', 'text'], ['b', 'boxes-filter'], ['w', 'box'], ['t', 'token'], ['f', 'feed']]) {
        assert.equal(await press(key), place, key);
        await page.keyboard.press('Escape');
    }
    assert.equal(await page.$eval('#search', (field) => field.value.trim()), '', 'no key was typed');
    await page.focus('#search');
    await page.keyboard.type('p');
    assert.equal(await text('#pause'), 'Pause', 'in a field, a key is a letter');
    await page.keyboard.press('Backspace');
    await away();
    await page.keyboard.press('p');
    assert.equal(await text('#pause'), 'Resume');
    await page.keyboard.press('p');
    await page.keyboard.press('?');
    assert.ok(await page.$eval('#keys', (dialog) => dialog.open));
    await shows('they are listed', '#keys', 'compose a message');
    await assertAccessible('with the list of keys');
    await page.focus('#keys-on');
    await page.keyboard.press('Space');
    await page.keyboard.press('Escape');
    assert.ok(!(await page.$eval('#keys', (dialog) => dialog.open)), 'Esc closes it');
    await away();
    await page.keyboard.press('p');
    assert.equal(await text('#pause'), 'Pause', 'they are off');
    await page.click('#help');
    await page.click('#keys-on');
    await page.click('#keys button');
    await page.keyboard.press('p');
    await page.keyboard.press('p');
    assert.equal(await text('#pause'), 'Pause', 'they are on again');
});

test('a message is composed, found and explained without a mouse', async () => {
    await away();
    await page.keyboard.press('c');
    await page.keyboard.type('by hand alone');
    await page.keyboard.down('Control');
    await page.keyboard.press('Enter');
    await page.keyboard.up('Control');
    await until('it comes', async () => (await lines())[0]?.includes('by hand alone'));
    await page.keyboard.press('Escape');
    await page.keyboard.press('f');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowUp');
    const active = await page.$eval('#feed', (feed) => document.getElementById(feed.getAttribute('aria-activedescendant')).innerText);
    assert.match(active, /by hand alone/);
    await page.$eval('#explanation', (told) => told.replaceChildren());
    await until('it is explained', async () => {
        await page.keyboard.press('Enter');
        return (await text('#explanation')).startsWith('confirmed');
    });
});

test('nothing shuts anybody out, on a desk or a phone, by day or by night', async () => {
    await page.click('.event');
    for (const [name, size] of [['desk', DESK], ['phone', PHONE]]) {
        await page.setViewport(size);
        for (const night of [false, true]) {
            await dark(night);
            await assertAccessible(`${name}, ${night ? 'dark' : 'light'}`);
        }
    }
    await dark(false);
    await page.setViewport(DESK);
});

test('a phone shows all of it, in the dark too', async () => {
    await page.setViewport(PHONE);
    await dark(true);
    for (const width of [390, 320]) {
        await page.setViewport({ ...PHONE, width });
        const [across, ground] = await page.evaluate(() => [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]);
        assert.ok(across <= width, `${across} pixels across on ${width}`);
        assert.equal(ground, 'rgb(16, 20, 26)');
    }
    await page.setViewport(PHONE);
    const small = await page.$$eval('button, select, input:not([type=checkbox])', (all) =>
        all.filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24).map((one) => one.outerHTML));
    assert.deepEqual(small, [], 'a thumb meets everything');
    await page.tap('#pause');
    assert.equal(await text('#pause'), 'Resume');
    await page.tap('#pause');
    await insert('hello', 'ann');
    await type('#boxes-filter', 'ann');
    await until('it is found', async () => (await text('#boxes')).startsWith('ann'));
    await page.tap('#boxes button');
    await shows('it is watched', '#said', 'Watching default/ann');
    await type('#boxes-filter', '');
    await page.setViewport(DESK);
    await dark(false);
    await watch();
});

test('who loads the page again watches on', async () => {
    await page.reload();
    await shows('it watches', '#state', 'live');
    await insert('after all');
    await until('it comes', async () => (await lines())[0]?.includes('after all'));
});

test('it comes back when the server does', async () => {
    await server.kill();
    await shows('it is noticed', '#ready', 'cannot be reached');
    await server.run();
    await insert('after the fall');
    await until('it comes', async () => (await lines())[0]?.includes('after the fall'));
    complaints.length = 0; // of connections refused
});

test('nothing is left of it on the server', async () => {
    await page.click('#leave');
    await shows('it stops', '#said', 'Stopped');
    await shows('it says so', '#state', 'closed');
    const listed = await (await fetch(server.url + CHANNELS)).text();
    assert.ok(!listed.includes('WebSockets'), listed);
    assert.deepEqual(complaints, []);
});
