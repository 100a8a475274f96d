// What operators see: boxes, what is sent in vain, nodes, everybody's channels and subscriptions.

import { $, attempt, badge, button, element, entry, moment, on, replaceEntries, small, strong } from './page.js';
import { tocsin } from './session.js';

const HINT = 'Boxes, webhooks, nodes and channels of everybody need a token with the scope tocsin.operator.';
/** Where counts end. */
const COUNT_MAX = 1001;

const counted = (count, what) => `${count < COUNT_MAX ? count : 'more than 1000'} ${what}${count === 1 ? '' : 's'}`;
const short = (id) => id.slice(-6);

/** A list of the operator's API: its first page, and as many more as are asked for. */
class List {
    entries = [];
    #next = null;
    #shown = null;
    #pages = 1;

    /** `query` says what to ask for, `entry` shows one. */
    constructor(id, resource, query, entry) {
        Object.assign(this, { id, resource, query, entry });
        if ($(`${id}-more`)) on(`${id}-more`, 'click', () => this.more());
    }

    /** Looks again, unless somebody reads on. */
    async refresh() {
        if (this.#pages === 1) await this.load();
    }

    async load() {
        this.#pages = 1;
        const query = new URLSearchParams(this.query());
        this.#take([], await tocsin.request('GET', `/api/operator/${this.resource}?${query}`));
    }

    async more() {
        this.#pages += 1;
        const next = this.#next.slice(this.#next.indexOf('/api/operator/')); // at the address by which we reach the server
        this.#take(this.entries, await tocsin.request('GET', next));
    }

    #take(before, { results, next = null }) {
        this.entries = [...before, ...results];
        this.#next = next;
        const shown = JSON.stringify(this.entries);
        if (shown === this.#shown) return;
        this.#shown = shown;
        replaceEntries($(this.id), this.entries.map((entry) => this.entry(entry)));
        if ($(`${this.id}-more`)) $(`${this.id}-more`).hidden = !next;
    }
}

/** Called with the store and the id of a box that is to be watched. */
export const boxes = { onWatch: () => {} };

function boxEntry({ store, boxId, events, lastEventAt, objects, subscriptions }) {
    const name = store === 'default' ? boxId : `${store}/${boxId}`;
    return element('li', {},
        button(name, `Watch the box ${store}/${boxId}`, () => boxes.onWatch(store, boxId)),
        small(counted(objects, 'object'), ' · ', counted(subscriptions, 'subscription'), ` · ${events} events, the last `,
            moment(lastEventAt)));
}

const STATES = { fine: 'good', failing: 'warm', disabled: 'bad', asleep: 'good', awake: 'good', lost: 'bad' };
const stateBadge = (state) => badge(state, STATES[state]);

function senderEntry(sender) {
    const { channel, owner, type, to, state, node, waiting, failingSince, attempts, lastError, nextAttemptAt, disabledSince } = sender;
    const since = {
        failing: () => small(`${attempts} attempt${attempts === 1 ? '' : 's'} failed since `, moment(failingSince)),
        disabled: () => small('given up ', moment(disabledSince)),
    }[state]?.() ?? null;
    const next = nextAttemptAt && state === 'failing' ? small('next attempt ', moment(nextAttemptAt)) : null;
    const again = button('Retry', `Retry the channel ${channel}`, () => retry(channel), `${short(channel)} is tried again within 5 seconds`);
    return entry([state === 'fine' ? null : again], stateBadge(state), ' ', strong(`${type}${to ? ` to ${to}` : ''}`),
        small(`channel ${short(channel)} of ${owner}${node ? ` · sent by node ${short(node)}` : ''}`),
        small(waiting ? `at most ${waiting} event${waiting === 1 ? ' waits' : 's wait'}` : 'nothing waits'), since,
        lastError ? element('span', { className: 'bad' }, lastError) : null, next);
}

async function retry(channel) {
    await tocsin.request('POST', `/api/operator/senders/${channel}/retry`);
    await senders.load();
}

function nodeEntry({ id, version, address, since, state, leases, thisNode }) {
    return entry([], stateBadge(state), ' ', strong(address ?? short(id)), thisNode ? ' (this one)' : '',
        small(`node ${short(id)}${version ? ` · version ${version}` : ''}`),
        small(leases ? `sends to ${counted(leases, 'channel')}` : 'sends to no channel',
            ...(since ? [' · follows the log since ', moment(since)] : [' · its channels go to others soon'])));
}

function channelEntry({ id, owner, type, to, createdAt, expiresAt, disabledSince, reason, subscriptions }) {
    return entry([], disabledSince ? stateBadge('disabled') : '', strong(` ${type}${to ? ` to ${to}` : ''}`),
        small(`${id} of ${owner}`), small(counted(subscriptions, 'subscription'), ' · made ', moment(createdAt), ' · ends ', moment(expiresAt)),
        reason ? element('span', { className: 'bad' }, reason) : null);
}

function subscriptionEntry({ id, store, boxId, channel, subscriber, expiresAt, nextIndex, behind, confirmedAt }) {
    return entry([], strong(`${store}/${boxId}`), ` to channel ${short(channel)}`,
        small(`${id}${subscriber ? ` of ${subscriber}` : ''}`),
        small(`next index ${nextIndex} · ${behind ? `at most ${behind} events behind` : 'up to date'} · ends `, moment(expiresAt)),
        small(...(confirmedAt ? ['confirmed last ', moment(confirmedAt)] : ['nothing confirmed yet'])));
}

/** What is said of boxes: what happened last, or those whose name begins so. */
function boxQuery() {
    const begins = $('boxes-filter').value.trim();
    $('boxes-order').disabled = Boolean(begins);
    return begins ? { begins } : { order: $('boxes-order').value };
}

const named = (id, parameter) => () => {
    const value = $(id).value.trim();
    return value ? { [parameter]: value } : {};
};

const allBoxes = new List('boxes', 'boxes', boxQuery, boxEntry);
const senders = new List('senders', 'senders', () => ({ state: $('senders-state').value }), senderEntry);
const nodes = new List('nodes', 'nodes', () => ({}), nodeEntry);
const channels = new List('all-channels', 'channels', named('all-channels-filter', 'owner'), channelEntry);
const subscriptions = new List('all-subscriptions', 'subscriptions', named('all-subscriptions-filter', 'box'), subscriptionEntry);

function showOperator(allowed) {
    for (const part of document.querySelectorAll('.of-operator')) part.hidden = !allowed;
    $('operator-said').textContent = allowed ? '' : HINT;
}

/** Looks at everything that is open. False when the token is not for that; a token that is refused is a fault. */
export async function lookAtOperator() {
    const open = [channels, subscriptions].filter(({ id }) => $(`${id}-details`).open);
    try {
        await Promise.all([allBoxes, senders, nodes, ...open].map((list) => list.refresh()));
    } catch (fault) {
        if (fault.status !== 401 && fault.status !== 403) throw fault;
        showOperator(false);
        if (fault.status === 403) return false;
        throw fault;
    }
    const failing = senders.entries.filter(({ state }) => state !== 'fine').length;
    $('senders-count').textContent = failing ? `${failing} fail` : 'none fails';
    $('senders-count').className = `badge ${failing ? 'bad' : 'good'}`;
    showOperator(true);
    return true;
}

/** What fails may not do so any more. */
export const refreshSenders = () => lookAtOperator().catch(() => false);

for (const [id, event, list] of [
    ['boxes-filter', 'input', allBoxes],
    ['boxes-order', 'change', allBoxes],
    ['senders-state', 'change', senders],
    ['all-channels-filter', 'change', channels],
    ['all-subscriptions-filter', 'change', subscriptions],
    ['all-channels-details', 'toggle', channels],
    ['all-subscriptions-details', 'toggle', subscriptions],
]) {
    $(id).addEventListener(event, () => attempt(async () => {
        await list.load();
        $(list.id).scrollTop = 0;
    }));
}
