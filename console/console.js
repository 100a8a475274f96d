// The console. It is a client like any other: all that it shows, it asks the server's API for, with the user's token.

import { Tocsin, path } from './tocsin.js';

const $ = (id) => document.getElementById(id);
const server = location.href.replace(/\/console.*$/s, '');
const FIELDS = ['token', 'user', 'box', 'store'];
/** Events that the feed keeps. */
const KEPT = 500;
/** Milliseconds between two looks at the node, and points of a chart. */
const LOOK = 2000;
const POINTS = 60;
/** Seconds after which a channel ends that a page could not end itself. */
const LIFETIME = 120;

const tocsin = new Tocsin({
    server,
    token: () => sessionStorage.getItem('token'),
    onProblem: (fault) => say(`${fault.message}; trying again`, true),
});

function say(text, bad = false) {
    $('said').textContent = text;
    $('said').classList.toggle('bad', bad);
}

/** Does what a user asked for, and says why if it fails. */
async function attempt(what, done) {
    try {
        await what();
        if (done) say(done);
    } catch (fault) {
        say(fault.message, true);
    }
}

const on = (id, event, act, done) =>
    $(id).addEventListener(event, (happened) => {
        happened.preventDefault();
        attempt(act, done);
    });

/** An element with texts and elements in it. */
function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children.filter((child) => child !== null));
    return made;
}

const facts = (of) =>
    Object.entries(of).map(([name, value]) =>
        element('div', {}, element('dt', {}, name), element('dd', {}, String(value ?? '–'))));

// Who and what

/** What was said in the form when Watch was pressed. */
let chosen = null;
let watched = null;

const boxPath = (rest = '') => path`/nms/v1/${chosen.store}/${chosen.box}` + rest;
const channelsPath = () => path`/notificationchannel/v1/${chosen.user}/channels`;

async function watch() {
    await leave();
    chosen = Object.fromEntries(FIELDS.map((name) => [name, $(name).value.trim()]));
    for (const name of FIELDS) sessionStorage.setItem(name, chosen[name]);
    feed.clear();
    const channel = await tocsin.open({ user: chosen.user, lifetimeSeconds: LIFETIME, onState: showState });
    watched = channel;
    $('leave').hidden = false;
    await channel.subscribe({ box: chosen.box, store: chosen.store, attributes: true, onEvent: (event) => feed.take(event) });
    await showResources();
}

/** Ends the console's own channel, and the subscription with it. */
async function leave() {
    const channel = watched;
    watched = null;
    $('leave').hidden = true;
    await channel?.close();
    if (channel && chosen) await showResources();
}

function showState(state) {
    $('state').textContent = state === 'open' ? 'live' : state;
    $('state').className = `badge ${state === 'open' ? 'good' : ''}`;
}

on('who', 'submit', watch, 'Watching');
on('leave', 'click', leave, 'Stopped');
addEventListener('pagehide', () => watched?.close().catch(() => {}));

// The feed

const feed = {
    events: [],
    /** What has come while the feed is paused; null while it is not. */
    waiting: null,

    clear() {
        this.events = [];
        if (this.waiting) this.waiting = [];
        $('feed').replaceChildren();
        this.count();
    },

    take(event) {
        const shown = { ...event, at: new Date(), text: JSON.stringify(event.content).toLowerCase() + event.kind.toLowerCase() };
        if (this.waiting) this.waiting.push(shown);
        else this.show(shown);
        if (this.waiting?.length > KEPT) this.waiting.shift();
        this.count();
        refreshSoon();
    },

    show(event) {
        this.events.push(event);
        event.line = line(event);
        event.line.hidden = !this.wants(event);
        $('feed').prepend(event.line);
        if (this.events.length > KEPT) this.events.shift().line.remove();
    },

    wants: (event) => event.text.includes($('search').value.trim().toLowerCase()),

    filter() {
        for (const event of this.events) event.line.hidden = !this.wants(event);
        this.count();
    },

    pause() {
        const waiting = this.waiting;
        this.waiting = waiting ? null : [];
        waiting?.forEach((event) => this.show(event));
        $('pause').setAttribute('aria-pressed', String(!waiting));
        $('pause').textContent = waiting ? 'Pause' : 'Resume';
        this.count();
    },

    count() {
        const shown = this.events.filter((event) => !event.line.hidden).length;
        const waiting = this.waiting?.length ? `, ${this.waiting.length} waiting` : '';
        $('count').textContent = `${shown} of ${this.events.length}${waiting}`;
    },
};

/** One event of the feed. */
function line({ kind, content, index, at }) {
    const attributes = (content?.attributes?.attribute ?? []).map(({ name, value }) => `${name}: ${[value].flat().join(', ')}`);
    const flags = content?.flags?.flag ?? [];
    const place = decodeURIComponent(content?.resourceURL?.split('/nms/v1/')[1] ?? '');
    const said = content?.name ?? attributes.join(' · ');
    return element('li', {},
        element('span', { className: /deleted|expired/.test(kind) ? 'kind deleted' : 'kind' }, kind), ' ',
        said, flags.length ? ` [${flags.join(' ')}]` : '',
        element('small', {}, `${at.toLocaleTimeString()} · ${place} · lastModSeq ${content?.lastModSeq ?? '–'} · index ${index}`));
}

$('search').addEventListener('input', () => feed.filter());
$('pause').addEventListener('click', () => feed.pause());

// The box, its subscriptions, the user's channels

/** Attributes of the root folder. */
const COUNTS = ['SubtreeMsgCount', 'SubtreeUnreadMsgCount', 'SubtreeSize'];
let refreshing = null;
/** Not for each of many events. */
function refreshSoon() {
    refreshing ??= setTimeout(() => {
        refreshing = null;
        attempt(showResources);
    }, 1000);
}

/** What the token is not for is left out. */
async function findAllowed(target) {
    try {
        return await tocsin.find(target);
    } catch (fault) {
        if (fault.status === 403) return null;
        throw fault;
    }
}

async function showResources() {
    const counts = COUNTS.map((name) => `attrFilter=${name}`).join('&');
    const targets = [boxPath(`/folders/root?${counts}`), boxPath('/subscriptions'), channelsPath()];
    const [folder, subscriptions, channels] = await Promise.all(targets.map(findAllowed));
    const counted = Object.fromEntries((folder?.folder.attributes.attribute ?? []).map(({ name, value }) => [name, value[0]]));
    const [objects, unread, bytes] = COUNTS.map((name) => counted[name] ?? 0);
    $('box-facts').replaceChildren(...facts({ box: `${chosen.store}/${chosen.box}`, objects, unread, bytes }));
    showSubscriptions(subscriptions?.nmsSubscriptionList?.subscription ?? []);
    const listed = channels?.notificationChannelList?.notificationChannel ?? [];
    $('channels').replaceChildren(...orNone(listed.map(channelCard)));
}

const orNone = (cards) => (cards.length ? cards : [element('li', { className: 'quiet' }, 'none')]);
const idOf = (url) => url.split('/').pop();
const isOurs = ({ callbackURL }) => callbackURL === watched?.callbackURL;

function showSubscriptions(list) {
    const before = $('of').value;
    $('subscriptions').replaceChildren(...orNone(list.map(subscriptionCard)));
    $('of').replaceChildren(...list.map(({ resourceURL }) =>
        element('option', { value: resourceURL }, idOf(resourceURL))));
    if (list.some(({ resourceURL }) => resourceURL === before)) $('of').value = before;
}

function subscriptionCard({ resourceURL, callbackReference, duration, index, restartToken }) {
    const ours = callbackReference.notifyURL === watched?.callbackURL;
    return element('li', {}, element('strong', {}, idOf(resourceURL)), ours ? ' (this page)' : '',
        element('small', {}, `next index ${index} · after ${restartToken} · ends in ${duration} s`),
        element('small', {}, `to ${target(callbackReference.notifyURL)}`),
        ours ? null : row(remove('subscription', resourceURL)));
}

/** A callbackURL is a secret, and says no more than which channel it is of. */
function target(notifyURL) {
    const channel = /\/callback\/([^./]+)/.exec(notifyURL)?.[1];
    return channel ? `channel ${channel}` : notifyURL;
}

function channelCard(channel) {
    const { channelType, channelData, channelLifetime, resourceURL } = channel;
    const disabled = channel['x-disabled'];
    const to = channelData?.['x-webhookURL'] ?? channelData?.channelSubType;
    return element('li', {},
        element('strong', {}, channelType), ` ${idOf(resourceURL)}`, isOurs(channel) ? ' (this page)' : '',
        element('small', {}, `lifetime ${channelLifetime} s${to ? ` · to ${to}` : ''}`),
        disabled ? element('span', { className: 'bad' }, `disabled since ${disabled.since}: ${disabled.reason}`) : null,
        row(disabled ? retry(resourceURL) : null, isOurs(channel) ? null : remove('channel', resourceURL)));
}

const row = (...buttons) => element('div', { className: 'row' }, ...buttons);

function button(text, of, act, done) {
    const made = element('button', { type: 'button', ariaLabel: `${text} ${idOf(of)}` }, text);
    made.addEventListener('click', () => attempt(async () => (await act(), await showResources()), done));
    return made;
}

const remove = (what, url) =>
    button('Delete', url, () => tocsin.request('DELETE', url), `The ${what} is deleted`);

/** What a disabled channel was not sent goes out again from where it stands. */
const retry = (url) =>
    button('Retry', url, () => tocsin.request('PUT', `${url}/channelLifetime`, { notificationChannelLifetime: {} }),
        'Enabled again: what waits is sent');

// Sending and explaining

on('send', 'submit', async () => {
    if (!chosen) throw new Error('Choose a user and a box first');
    const attributes = { From: $('from').value.trim(), To: chosen.box, TextContent: $('text').value, Direction: 'In' };
    const attribute = Object.entries(attributes).filter(([, value]) => value).map(([name, value]) => ({ name, value: [value] }));
    const object = { parentFolderPath: $('folder').value.trim(), attributes: { attribute } };
    await tocsin.request('POST', boxPath('/objects'), { object });
    $('text').value = '';
}, 'Sent');

on('explain', 'submit', async () => {
    const told = await tocsin.request('GET', `${$('of').value}/explain?seq=${encodeURIComponent($('seq').value)}`);
    const list = element('dl', {}, ...facts(told.facts));
    $('explanation').replaceChildren(element('p', {}, element('strong', {}, told.verdict), `: ${told.why}`), list);
});

// The node

/** Samples of an OpenMetrics text: the sum of each name's values over its labels, and histograms by their bounds. */
function parseMetrics(text) {
    const [values, buckets] = [{}, {}];
    for (const line of text.split('\n')) {
        const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
        if (!sample || line.startsWith('#')) continue;
        const [, name, labels = '', value] = sample;
        const bound = /(?:^|,)le="([^"]+)"/.exec(labels)?.[1];
        if (bound === undefined) values[name] = (values[name] ?? 0) + Number(value);
        else add((buckets[name] ??= new Map()), bound === '+Inf' ? Infinity : Number(bound), Number(value));
    }
    return { values, buckets };
}

const add = (map, key, value) => map.set(key, (map.get(key) ?? 0) + value);

/** The bound below which a share of what was counted between two looks lies, in milliseconds. */
function quantile(share, now, before) {
    const bounds = [...(now ?? [])].map(([bound, count]) => [bound, count - (before?.get(bound) ?? 0)]).sort(([a], [b]) => a - b);
    const all = bounds.at(-1)?.[1];
    if (!all) return null;
    const at = bounds.findIndex(([, count]) => count >= all * share);
    return 1000 * (Number.isFinite(bounds[at][0]) ? bounds[at][0] : bounds.at(-2)[0]);
}

const rate = (name) => (now, before, seconds) => Math.max(0, (now.values[name] ?? 0) - (before.values[name] ?? 0)) / seconds;
const latency = (name) => (now, before) => quantile(0.95, now.buckets[name], before.buckets[name]);

/** Of each chart its name, its unit, and its next value, null when there is nothing to tell. */
const CHARTS = [
    ['Events', '/s', rate('tocsin_log_events_total')],
    ['Requests', '/s', rate('tocsin_http_requests_total')],
    ['Delay of the log, p95', ' ms', latency('tocsin_log_delay_seconds_bucket')],
    ['Requests, p95', ' ms', latency('tocsin_http_request_seconds_bucket')],
].map(([name, unit, next]) => ({ name, unit, next, points: [] }));

for (const chart of CHARTS) {
    chart.output = element('output', {}, '–');
    chart.svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    chart.svg.setAttribute('viewBox', `0 0 ${POINTS - 1} 100`);
    chart.svg.setAttribute('preserveAspectRatio', 'none');
    chart.svg.setAttribute('aria-hidden', 'true');
    $('charts').append(element('figure', {}, element('figcaption', {}, chart.name, chart.output), chart.svg));
}

function draw({ points, svg, output, unit }) {
    const most = Math.max(1, ...points);
    const [last, from] = [points.at(-1), POINTS - points.length];
    output.value = last === null ? '–' : `${last.toFixed(last < 10 ? 1 : 0)}${unit}`;
    const at = points.map((value, place) => `${from + place},${98 - (95 * (value ?? 0)) / most}`);
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
    line.setAttribute('points', at.join(' '));
    svg.replaceChildren(line);
}

let looked = null;

async function lookAtMetrics() {
    const token = await tocsin.token();
    const answer = await fetch(`${server}/metrics`, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
    $('metrics-said').textContent = answer.ok ? '' : 'Charts need a token with the scope tocsin.metrics.';
    $('charts').hidden = !answer.ok;
    if (!answer.ok) return;
    const now = { ...parseMetrics(await answer.text()), at: performance.now() };
    for (const chart of looked ? CHARTS : []) {
        chart.points.push(chart.next(now, looked, (now.at - looked.at) / 1000));
        if (chart.points.length > POINTS) chart.points.shift();
        draw(chart);
    }
    looked = now;
}

async function lookAtNode() {
    const answer = await fetch(`${server}/readyz`);
    const told = await answer.json();
    showReady(told.ready ? 'ready' : told.draining ? 'draining' : 'not ready', told.ready);
    $('facts').replaceChildren(...facts({
        database: told.database,
        doorbell: told.doorbell,
        'round trip': `${told.roundTripMilliseconds.toFixed(1)} ms`,
        'log read': `${told.tail.ageMilliseconds} ms ago`,
        'events read': told.tail.events,
        pool: `${told.pool.inUse} of ${told.pool.limit} in use`,
        'channels connected': told.connections,
        keys: told.keys,
    }));
}

function showReady(text, good) {
    $('ready').textContent = text;
    $('ready').className = `badge ${good ? 'good' : 'bad'}`;
}

async function look() {
    try {
        await Promise.all([lookAtNode(), lookAtMetrics()]);
    } catch {
        showReady('cannot be reached', false);
    }
    setTimeout(look, LOOK);
}

// What was chosen lasts as long as the tab: the token too, which is stored nowhere else.
for (const name of FIELDS) $(name).value = sessionStorage.getItem(name) ?? $(name).value;
look();
