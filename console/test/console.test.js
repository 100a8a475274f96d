// The console in a real browser, against a real server.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before, test } from 'node:test';

import { Server, tocsin, until } from '../../clients/js/test/server.js';

const { default: puppeteer } = await import(pathToFileURL(process.env.PUPPETEER));
const BOX = 'tel:+19585550100';
const CHANNELS = `/notificationchannel/v1/${encodeURIComponent(BOX)}/channels`;
const pictures = process.env.PICTURES;

let server;
let browser;
let page;
/** What the browser complains about: nothing may be here at the end. */
const complaints = [];

const text = (selector) => page.$eval(selector, (element) => element.innerText);
const lines = () => page.$$eval('#feed li', (all) => all.filter((line) => !line.hidden).map((line) => line.innerText));
const insert = (subject) => server.send(BOX, subject);
const picture = async (name, fullPage = true) => {
    if (!pictures) return;
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage });
};
/** So that there is something to see in the charts of a picture. */
const showTraffic = async () => {
    for (let at = 0; pictures && at < 60; at += 1) {
        await insert(['Lunch at noon?', 'The build is green again', 'Your parcel has arrived'][at % 3]);
        await new Promise((resolve) => setTimeout(resolve, 200 * (1 + Math.sin(at / 6))));
    }
};
const shows = (what, selector, wanted) => until(what, async () => (await text(selector)).includes(wanted));
const type = async (selector, value) => {
    await page.focus(selector);
    await page.keyboard.down('Control');
    await page.keyboard.press('a');
    await page.keyboard.up('Control');
    await page.keyboard.type(value);
};

async function open(url) {
    page = await browser.newPage();
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (fault) => complaints.push(String(fault)));
    await page.setViewport({ width: 1280, height: 900 });
    await page.goto(`${url}/console`);
}

async function watch(token = '') {
    await type('#token', token);
    await type('#user', BOX);
    await type('#box', BOX);
    await page.keyboard.press('Enter');
    await shows('it watches', '#state', 'live');
    await shows('it says so', '#said', 'Watching');
}

before(async () => {
    if (pictures) mkdirSync(pictures, { recursive: true });
    server = await Server.start('--allow-private-targets');
    const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
    browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, args });
    await open(server.url);
});

after(async () => {
    await browser.close();
    await server.stop();
});

test('a watched box shows what is inserted', async () => {
    await watch();
    await insert('first of all');
    await until('a line', async () => (await lines()).some((line) => line.includes('first of all')));
    await shows('the box', '#box-facts', BOX);
    await shows('our channel', '#channels', 'this page');
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
    await type('#search', ' ');
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
        return (await text('#explanation')).startsWith('confirmed: ');
    });
});

test('a disabled webhook says why, and is enabled again', async () => {
    const gone = createServer((_, answer) => answer.writeHead(410).end()).listen(0, '127.0.0.1');
    await until('it listens', () => gone.address());
    const webhook = { channelType: 'webhooks', channelData: { 'x-webhookURL': `http://127.0.0.1:${gone.address().port}/hook` } };
    const { notificationChannel } = await server.post(CHANNELS, { notificationChannel: webhook });
    const callbackReference = { notifyURL: notificationChannel.callbackURL };
    await server.post(`/nms/v1/default/${encodeURIComponent(BOX)}/subscriptions`, { nmsSubscription: { callbackReference } });
    await insert('for the webhook');
    await until('it is disabled', async () => {
        const answer = await fetch(server.url + CHANNELS);
        return (await answer.text()).includes('x-disabled');
    });
    await insert('one more, so that the page looks again');
    await shows('it says why', '#channels', 'disabled since');
    await showTraffic();
    await picture('wide', false);
    gone.close();
    await page.click('#channels button[aria-label^="Retry"]');
    await shows('it is enabled', '#said', 'Enabled again');
    await until('nothing is disabled', async () => !(await text('#channels')).includes('disabled since'));
});

test('the keyboard is enough', async () => {
    await page.evaluate(() => document.activeElement.blur());
    await page.focus('.skip');
    const order = [];
    for (let at = 0; at < 14; at += 1) {
        order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.innerText));
        await page.keyboard.press('Tab');
    }
    assert.deepEqual(order, ['skip', 'token', 'user', 'box', 'store', 'Watch', 'leave', 'search', 'pause', 'feed', 'from', 'folder', 'text', 'Send']);
    await page.focus('#pause');
    await page.keyboard.press('Space');
    assert.equal(await page.$eval('#pause', (button) => button.getAttribute('aria-pressed')), 'true');
    await page.keyboard.press('Space');
    const unnamed = await page.$$eval('input, select, textarea', (all) => all.filter((one) => !one.labels.length).length);
    assert.equal(unnamed, 0, 'each field has a label');
    assert.equal(await page.$eval('#feed', (feed) => feed.getAttribute('aria-live')), 'polite');
});

test('a phone shows all of it, in the dark too', async () => {
    await page.setViewport({ width: 360, height: 740 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
    const [width, ground] = await page.evaluate(() => [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]);
    assert.ok(width <= 360, `${width} pixels wide`);
    assert.equal(ground, 'rgb(18, 22, 28)');
    await picture('narrow-dark');
    await page.setViewport({ width: 1280, height: 900 });
    await picture('wide-dark');
    await page.emulateMediaFeatures([]);
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

test('a token is asked for where one is needed, and kept by the tab only', async () => {
    const guarded = new Server(['--auth', 'jwt']);
    tocsin('token', 'key', '--out', guarded.file('jwt'));
    guarded.configure('--jwt-key-file', guarded.file('jwt.pub.pem'));
    await guarded.run();
    await open(guarded.url);
    await type('#user', BOX);
    await type('#box', BOX);
    await page.keyboard.press('Enter');
    await until('it is refused', async () => (await text('#said')).startsWith('401'));
    const scopes = 'oma_rest_notificationchannel.all_v1,oma_rest_nms.all_v1';
    const token = tocsin('token', 'issue', '--key', guarded.file('jwt.pem'), '--user', BOX, '--scope', scopes);
    await watch(token);
    await guarded.send(BOX, 'by token', token);
    await until('it comes', async () => (await lines()).some((line) => line.includes('by token')));
    await shows('metrics are another right', '#metrics-said', 'tocsin.metrics');
    assert.equal(await page.evaluate(() => localStorage.length + document.cookie.length), 0);
    await guarded.stop();
});
