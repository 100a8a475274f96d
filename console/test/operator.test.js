// The console in a real browser, against a real server: what an operator does, and who may.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Server, tocsin, until } from '../../clients/js/test/server.js';
import { BOX, CHANNELS, DESK, PHONE, assertAccessible, complaints, dark, focused, insert, lines, open, page, picture, server, showTraffic, shows, text, type, watch, webhook } from './page.js';

test('boxes are listed, found, and watched by a click', async () => {
    await watch();
    await insert('hello');
    for (const box of ['ann', 'archive', 'bob']) await insert('hello', box);
    await shows('the latest come first', '#boxes li:first-child', 'bob');
    await shows('with what is in them', '#boxes li:first-child', '1 object · 0 subscriptions · 2 events');
    await type('#boxes-filter', 'a');
    await until('two begin so', () => page.$$eval('#boxes li', (all) => all.length === 2));
    assert.deepEqual(await page.$$eval('#boxes li button', (all) => all.map((one) => one.innerText)), ['ann', 'archive']);
    await page.click('#boxes li:nth-child(2) button');
    await shows('it is watched', '#said', 'Watching default/archive');
    await insert('into the archive', 'archive');
    await until('it comes', async () => (await lines())[0]?.includes('into the archive'));
    await page.focus('#boxes-filter');
    await page.keyboard.press('Escape');
    await type('#boxes-filter', '');
    await page.select('#boxes-order', 'name');
    await until('by name', async () => (await page.$$eval('#boxes button', (all) => all.map((one) => one.innerText))).join() === `ann,archive,bob,${BOX}`);
    await page.select('#boxes-order', 'recent');
    await watch();
});

test('a list has more pages, and stays where it is read', async () => {
    for (let at = 0; at < 60; at += 1) await insert('x', `many${String(at).padStart(2, '0')}`);
    await type('#boxes-filter', 'many');
    await until('a page', () => page.$$eval('#boxes li', (all) => all.length === 50));
    await page.click('#boxes-more');
    await until('all', () => page.$$eval('#boxes li', (all) => all.length === 60));
    assert.ok(await page.$eval('#boxes-more', (button) => button.hidden));
    await page.focus('#boxes li:nth-child(55) button');
    await insert('y', 'many00');
    await new Promise((resolve) => setTimeout(resolve, 5000)); // longer than it takes to look again
    assert.equal(await focused(), 'many54');
    await type('#boxes-filter', '');
});

test('a disabled webhook says why, and is enabled again by its user', async () => {
    const gone = await webhook({ status: 410 });
    await insert('for the webhook');
    await until('it is disabled', async () => (await (await fetch(server.url + CHANNELS)).text()).includes('x-disabled'));
    await insert('one more, so that the page looks again');
    await shows('it says why', '#channels', 'disabled since');
    await shows('the operator sees it', '#senders', 'HTTP 410');
    gone.status = 204;
    await page.click('#channels button[aria-label^="Retry"]');
    await shows('it is enabled', '#said', 'Enabled again');
    await until('nothing is disabled', async () => !(await text('#channels')).includes('disabled since'));
    await until('it came', () => gone.got >= 2);
    await shows('nothing fails', '#senders-count', 'none fails');
});

test('a failing webhook is tried again when the operator says so, not in an hour', async () => {
    const failing = await webhook({ status: 503, headers: { 'Retry-After': '3600' } });
    const gone = await webhook({ status: 410 });
    await insert('for the webhooks');
    await shows('how many fail', '#senders-count', '2 fail');
    const entry = '#senders li';
    await shows('what it failed with', entry, 'HTTP 503');
    await shows('when the next attempt comes', entry, 'next attempt');
    await shows('where to', entry, failing.origin);
    await shows('what waits', entry, 'at most 2 events wait'); // and that there is one more subscription
    assert.ok(!(await page.$eval('#senders', (list) => list.outerHTML)).includes('s3cr3t'));
    await showTraffic();
    await until('an event is explained', async () => {
        await page.click('.event:nth-child(2)');
        return (await text('#explanation')).startsWith('confirmed');
    });
    await picture('desk-light', false);
    await picture('desk-light-all');
    await dark(true);
    await picture('desk-dark', false);
    await picture('desk-dark-all');
    await page.setViewport(PHONE);
    await picture('phone-dark');
    await dark(false);
    await picture('phone-light');
    await page.setViewport({ width: 1100, height: 900, hasTouch: true });
    await picture('middle');
    await page.setViewport(DESK);
    failing.status = 204;
    await page.click('#senders button[aria-label^="Retry"]');
    await shows('it says so', '#said', 'is tried again within 5 seconds');
    await until('it came', () => failing.got >= 2);
    await shows('one is left', '#senders-count', '1 fail');
    gone.status = 204;
    await page.click('#senders button[aria-label^="Retry"]');
    await shows('nothing fails', '#senders-count', 'none fails');
    await page.select('#senders-state', 'all');
    await until('all are fine', () => page.$$eval('#senders .badge', (all) => all.length === 3 && all.every((one) => one.innerText === 'fine')));
});

test('nodes, and everybody\'s channels and subscriptions', async () => {
    await shows('this node', '#nodes', `${new URL(server.url).host} (this one)`);
    await shows('it follows the log', '#nodes', 'follows the log since');
    await server.post('/notificationchannel/v1/somebody/channels', { notificationChannel: { channelType: 'LongPolling' } });
    await page.focus('#all-channels-details summary');
    await page.keyboard.press('Enter');
    await shows('channels of all', '#all-channels', 'of somebody');
    await type('#all-channels-filter', 'somebody');
    await until('of one', () => page.$$eval('#all-channels li', (all) => all.length === 1));
    await page.click('#all-subscriptions-details summary');
    await shows('subscriptions', '#all-subscriptions', `default/${BOX}`);
    await type('#all-subscriptions-filter', 'nobody');
    await shows('none there', '#all-subscriptions', 'none');
    await type('#all-subscriptions-filter', '');
});

test('the browser has nothing to complain about', () => assert.deepEqual(complaints, []));

test('a token is asked for where one is needed, and kept by the tab only', async () => {
    const guarded = new Server(['--auth', 'jwt']);
    tocsin('token', 'key', '--out', guarded.file('jwt'));
    guarded.configure('--jwt-key-file', guarded.file('jwt.pub.pem'));
    await guarded.run();
    const issue = (user, scope) => tocsin('token', 'issue', '--key', guarded.file('jwt.pem'), '--user', user, '--scope', scope);
    await open(guarded.url);
    const operator = () => page.$$eval('.of-operator', (all) => all.filter((one) => one.checkVisibility()).length);
    await shows('operators need a token', '#operator-said', 'tocsin.operator');
    assert.equal(await operator(), 0);
    await type('#user', BOX);
    await type('#box', BOX);
    await page.keyboard.press('Enter');
    await until('it is refused', async () => (await text('#said')).startsWith('401'));
    await type('#token', 'nonsense');
    await page.keyboard.press('Enter');
    await until('so is a bad one', async () => (await text('#said')).startsWith('401'));

    const token = issue(BOX, 'oma_rest_notificationchannel.all_v1,oma_rest_nms.all_v1');
    await type('#token', token);
    await page.keyboard.press('Enter');
    await shows('who it is', '#said', `Logged in as ${BOX}, for oma_rest_notificationchannel.all_v1`);
    await watch();
    await guarded.send(BOX, 'by token', token);
    await until('it comes', async () => (await lines()).some((line) => line.includes('by token')));
    await shows('metrics are another right', '#metrics-said', 'tocsin.metrics');
    await shows('so is operating', '#operator-said', 'tocsin.operator');
    assert.equal(await operator(), 0);
    await assertAccessible('without rights');

    await type('#token', issue('ops', 'tocsin.operator,tocsin.metrics'));
    await page.keyboard.press('Enter');
    await shows('boxes are seen', '#boxes', BOX);
    assert.ok((await operator()) > 4);
    assert.equal(await text('#operator-said'), '');
    await page.click('#boxes button');
    await until('but not what is in them', async () => (await text('#said')).startsWith('403'));
    assert.equal(await page.evaluate(() => localStorage.length + document.cookie.length), 0);
    await type('#token', token);
    await page.click('#who button');
    await shows('who only presses Watch is logged in, too', '#said', 'Watching');
    await page.click('#logout');
    await shows('it is forgotten', '#said', 'forgotten');
    assert.equal(await page.evaluate(() => sessionStorage.getItem('token')), null);
    assert.equal(await operator(), 0);
    await guarded.stop();
});
