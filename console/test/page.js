// The page of a server of its own, in a real browser: the words of the tests.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before } from 'node:test';

import { Server, until } from '../../clients/js/test/server.js';

const { default: puppeteer } = await import(pathToFileURL(process.env.PUPPETEER));
const axe = readFileSync(process.env.AXE, 'utf8');
export const BOX = 'tel:+19585550100';
export const CHANNELS = `/notificationchannel/v1/${encodeURIComponent(BOX)}/channels`;
export const DESK = { width: 1440, height: 1000, hasTouch: true };
export const PHONE = { width: 390, height: 844, hasTouch: true };
const pictures = process.env.PICTURES;

export let server;
export let browser;
export let page;
/** What the browser complains about: nothing may be here at the end. */
export const complaints = [];

export const text = (selector) => page.$eval(selector, (element) => element.innerText);
export const lines = () => page.$$eval('.event', (all) => all.filter((line) => !line.hidden).map((line) => line.innerText));
export const insert = (subject, box = BOX) => server.send(box, subject);
export const picture = async (name, fullPage = true) => {
    if (!pictures) return;
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage });
};
/** So that there is something to see in a picture: from several people, to several boxes. */
export const showTraffic = async () => {
    const said = ['Lunch at noon?', 'The build is green again', 'Your parcel has arrived', 'Minutes of the meeting', 'Tickets for Friday'];
    const send = (at, box) => {
        const of = { Subject: said[at % said.length], From: `tel:+195855502${10 + ((at * 7) % 30)}` };
        const attribute = Object.entries(of).map(([name, value]) => ({ name, value: [value] }));
        return server.post(`/nms/v1/default/${encodeURIComponent(box)}/objects`, { object: { parentFolderPath: '/inbox', attributes: { attribute } } });
    };
    for (let at = 0; pictures && at < 150; at += 1) {
        await send(at, BOX);
        if (at % 4 === 0) await send(at + 1, `tel:+195855501${(at % 7) + 10}`);
        await new Promise((resolve) => setTimeout(resolve, 250 * (1.05 + Math.sin(at / 9))));
    }
};
export const shows = (what, selector, wanted) => until(`${what}: ${wanted}`, async () => (await text(selector)).includes(wanted));
export const type = async (selector, value) => {
    await page.focus(selector);
    await page.keyboard.down('Control');
    await page.keyboard.press('a');
    await page.keyboard.up('Control');
    await page.keyboard.type(value || ' ');
};
export const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.innerText);
export const away = () => page.evaluate(() => document.activeElement.blur());
export const dark = (on) => page.emulateMediaFeatures(on ? [{ name: 'prefers-color-scheme', value: 'dark' }] : []);

/** What axe finds wrong with the page as it is now. */
export async function assertAccessible(when) {
    await page.evaluate(axe);
    await until('nothing moves', () => page.evaluate(() => document.getAnimations().every(({ playState }) => playState === 'finished')));
    const found = await page.evaluate(() => globalThis.axe.run({ resultTypes: ['violations'] }));
    const told = found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => html + failureSummary).join(' | ')}`);
    assert.deepEqual(told, [], when);
    assert.ok(found.passes.length > 20, 'it has looked');
}

export async function open(url) {
    page = await browser.newPage();
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (fault) => complaints.push(String(fault)));
    await page.setViewport(DESK);
    await page.goto(`${url}/console`);
}

export async function watch() {
    await type('#user', BOX);
    await type('#box', BOX);
    await page.keyboard.press('Enter');
    await shows('it watches', '#state', 'live');
    await shows('it says so', '#said', 'Watching');
}

/** A webhook of the user's, subscribed to the box, whose server answers as it is told. */
export async function webhook(answer) {
    const receiver = { ...answer, got: 0 };
    const hook = createServer((_, reply) => {
        receiver.got += 1;
        reply.writeHead(receiver.status, receiver.headers).end();
    }).listen(0, '127.0.0.1');
    await until('it listens', () => hook.address());
    hook.unref();
    receiver.origin = `http://127.0.0.1:${hook.address().port}`;
    const channelData = { 'x-webhookURL': `${receiver.origin}/hook?secret=s3cr3t` };
    const { notificationChannel } = await server.post(CHANNELS, { notificationChannel: { channelType: 'webhooks', channelData } });
    const callbackReference = { notifyURL: notificationChannel.callbackURL };
    await server.post(`/nms/v1/default/${encodeURIComponent(BOX)}/subscriptions`, { nmsSubscription: { callbackReference } });
    return receiver;
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
