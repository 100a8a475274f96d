// A client of tocsin, for browsers and for Node from version 22 on: it needs fetch and WebSocket, and nothing else.
//
// What a subscription delivers comes once and in order, whatever happens to the socket, the server, or the channel: lists
// are numbered, so duplicates and gaps show; and each says from where to go on (restartToken).

const SUBPROTOCOL = 'notificationchannel-netapi-rest.openmobilealliance.org';
/** Milliseconds before the first attempt to connect again, and at most. */
const [PAUSE_FIRST, PAUSE_MOST] = [100, 5000];
/** Milliseconds after which an open socket counts as a success: one that is closed at once must not be opened at once. */
const OPEN_LONG = 5000;
const REQUEST_PATIENCE = 30_000;
const OPEN_PATIENCE = 10_000;
/** setTimeout takes no more than 24 days. */
const TIMER_MOST = 86_400_000;
/** Lists that wait while a subscription is made or set back. What is beyond is a gap, and comes again. */
const HELD_MOST = 10_000;
/** Close codes after which coming back would only do harm. */
const ENDS = { 4001: 'superseded by another connection', 4007: 'no longer allowed' };

/** A refusal of the server; `status` is that of HTTP, or the code with which it closed a socket. */
export class TocsinError extends Error {
    constructor(message, status, fault = null) {
        super(message);
        this.name = 'TocsinError';
        this.status = status;
        this.fault = fault;
    }
}

/** A path whose values are escaped: path`/nms/v1/${store}/${box}`. */
export const path = (texts, ...values) => String.raw({ raw: texts }, ...values.map(encodeURIComponent));

/** A server, as one user sees it. */
export class Tocsin {
    #server;
    #token;

    constructor({ server = globalThis.location?.origin, token = null, store = 'default', onProblem = () => {} } = {}) {
        this.#server = String(server).replace(/\/+$/, '');
        this.#token = token;
        this.store = store;
        this.onProblem = onProblem;
    }

    /** The access token as it is now; null without one. */
    async token() {
        return (typeof this.#token === 'function' ? await this.#token() : this.#token) || null;
    }

    /** Asks the server; `target` is a path, or a URL that it has told. Answers the body; a refusal is a TocsinError. */
    async request(method, target, body, init = {}) {
        const token = await this.token();
        const headers = { Accept: 'application/json', ...init.headers };
        if (body !== undefined) headers['Content-Type'] = 'application/json';
        if (token) headers.Authorization = `Bearer ${token}`;
        const response = await fetch(this.here(target), {
            method,
            body: body === undefined ? undefined : JSON.stringify(body),
            signal: AbortSignal.timeout(REQUEST_PATIENCE),
            ...init,
            headers,
        });
        const text = await response.text();
        const answer = read(text);
        if (response.ok) return answer;
        throw new TocsinError(`${response.status} ${reason(answer) ?? text.slice(0, 200)}`, response.status, answer);
    }

    /** As `request`, but what is not there is null. */
    async find(target) {
        return orNull(this.request('GET', target));
    }

    /** A URL at the address by which we reach the server: behind a tunnel or a proxy, it may call itself otherwise. */
    here(target) {
        const at = target.search(/\/(?:notificationchannel|nms)\/v1\/|\/ws\//);
        return this.#server + (at > 0 ? target.slice(at) : target);
    }

    /** Creates a channel of its own, and keeps a socket to it open. */
    async open({ user, lifetimeSeconds, checkSeconds, onState }) {
        const channel = new Channel(this, { user, lifetimeSeconds, checkSeconds, onState });
        await channel.start();
        return channel;
    }

    /** Listens to a user's notifications. */
    inbox({ user, ...options } = {}) {
        return new Listener(this, '/ws/notifications', { user, ...options });
    }

    /** Listens to a room. */
    room(name, options = {}) {
        return new Listener(this, path`/ws/rooms/${name}`, options);
    }
}

/** JSON, or null for what is none. */
function read(text) {
    try {
        return JSON.parse(text);
    } catch {
        return null;
    }
}

function reason(answer) {
    const fault = answer?.requestError;
    const said = fault?.serviceException ?? fault?.policyException;
    return said?.text?.replace(/%(\d+)/g, (whole, number) => said.variables?.[number - 1] ?? whole);
}

const orNull = (asked) =>
    asked.catch((fault) => {
        if (fault.status === 404) return null;
        throw fault;
    });

/** Seconds until a JSON Web Token expires, if it is one. */
function secondsLeft(token) {
    const part = token?.split('.')[1]?.replace(/-/g, '+').replace(/_/g, '/');
    try {
        const { exp } = JSON.parse(atob(part));
        return Number.isFinite(exp) ? exp - Date.now() / 1000 : null;
    } catch {
        return null;
    }
}

/**
 * Keeps one WebSocket open for its owner: opens it again when it breaks, after longer and longer pauses, and brings newer
 * tokens before old ones expire. The owner says where (`address`), and is told what comes (`heard`), what happens
 * (`changed`), and that it is over (`ended`).
 */
class Line {
    #tocsin;
    #owner;
    #checkSeconds;
    #over = false;
    /** Attempts in vain since the last good one. */
    #failures = 0;
    #socket = null;
    /** Gives the present socket up. */
    #drop = () => {};
    #timers = {};
    #unanswered = false;

    constructor(tocsin, owner, checkSeconds = null) {
        this.#tocsin = tocsin;
        this.#owner = owner;
        this.#checkSeconds = checkSeconds;
    }

    async run() {
        while (!this.#over) {
            try {
                await this.#once();
            } catch (fault) {
                this.#tocsin.onProblem(fault);
            }
            if (this.#over) break;
            this.#owner.changed('waiting');
            await this.#pause();
        }
        this.#owner.changed('closed');
    }

    /** Half of the pause is chance: those who lost the same server come back one by one. */
    async #pause() {
        const most = Math.min(PAUSE_MOST, PAUSE_FIRST * 2 ** this.#failures++);
        await new Promise((resolve) => {
            this.#drop = resolve;
            this.#after('pause', most * (0.5 + Math.random() / 2), resolve);
        });
        clearTimeout(this.#timers.pause);
    }

    /** One socket, from its opening to its end. */
    async #once() {
        this.#owner.changed('connecting');
        const { url, protocols } = await this.#owner.address();
        const token = await this.#tocsin.token();
        if (this.#over) return;
        const address = new URL(url.replace(/^http/, 'ws'));
        if (token) address.searchParams.set('access_token', token);
        const socket = new WebSocket(address, protocols);
        const closed = new Promise((resolve) => {
            socket.onclose = resolve;
            this.#drop = () => resolve({ code: 1006, reason: '' });
        });
        this.#socket = socket;
        const opened = this.#attend(socket, token);
        const { code, reason } = await closed;
        this.#abandon(socket);
        if (Date.now() - opened.at > OPEN_LONG) this.#failures = 0;
        if (ENDS[code]) this.#end(new TocsinError(`the server closed the socket: ${ENDS[code]}`, code));
        this.#owner.closed?.(reason);
    }

    #attend(socket, token) {
        const opened = { at: Infinity };
        this.#after('open', OPEN_PATIENCE, () => this.#drop());
        socket.onopen = () => {
            opened.at = Date.now();
            clearTimeout(this.#timers.open);
            this.#unanswered = false;
            if (this.#checkSeconds) this.#check();
            this.#refreshIn(secondsLeft(token));
            this.#owner.changed('open');
        };
        socket.onmessage = ({ data }) => this.#hear(read(data));
        return opened;
    }

    #abandon(socket) {
        Object.values(this.#timers).forEach(clearTimeout);
        Object.assign(socket, { onopen: null, onmessage: null, onclose: null });
        // One that is broken would take its time to notice; nobody waits for it.
        if (socket.readyState < WebSocket.CLOSING) socket.close(1000);
        this.#socket = null;
    }

    #after(name, milliseconds, act) {
        clearTimeout(this.#timers[name]);
        this.#timers[name] = setTimeout(act, Math.min(milliseconds, TIMER_MOST));
    }

    #say(message) {
        if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
    }

    #hear(message) {
        if (message === null) return;
        if ('connAck' in message) this.#unanswered = false;
        else if ('connCheck' in message) this.#say({ connAck: {} });
        else if ('tokenRefreshed' in message) this.#refreshIn(message.tokenRefreshed.expiresIn);
        else if ('tokenRefused' in message) this.#refused(message.tokenRefused.reason);
        else this.#owner.heard(message);
    }

    /** Prolongs the channel, and sees that the connection lives. */
    #check() {
        if (this.#unanswered) return this.#drop();
        this.#unanswered = true;
        this.#say({ connCheck: null });
        this.#after('check', this.#checkSeconds * 1000, () => this.#check());
    }

    /** A minute before the token expires, or earlier if it does not last that long. */
    #refreshIn(seconds) {
        if (seconds === null) return;
        const wait = Math.max(seconds / 2, seconds - 60, 1);
        this.#after('refresh', wait * 1000, () => this.#refresh());
    }

    async #refresh() {
        try {
            this.#say({ tokenRefresh: { accessToken: await this.#tocsin.token() } });
        } catch (fault) {
            this.#refused(fault.message);
        }
    }

    /** The socket goes on with the token that it has; if there is no better one until that expires, it ends. */
    #refused(why) {
        this.#tocsin.onProblem(new TocsinError(`the token was not renewed: ${why}`, 401));
        this.#after('refresh', PAUSE_MOST, () => this.#refresh());
    }

    /** Connects anew. */
    again() {
        this.#drop();
    }

    #end(fault) {
        this.#over = true;
        this.#owner.ended(fault);
    }

    close() {
        this.#over = true;
        this.#drop();
    }
}

/** What has come and waits to be read by an async iterator; with a callback, nothing waits. */
class Inflow {
    #events = [];
    #onEvent;
    #most;
    #wake = () => {};
    #end = null;
    #drained;

    constructor({ onEvent, bufferMax = 10_000 }, drained = () => {}) {
        this.#onEvent = onEvent;
        this.#most = bufferMax;
        this.#drained = drained;
    }

    /** Whether a reader is too slow for what comes. */
    get full() {
        return this.#events.length >= this.#most;
    }

    push(event) {
        if (this.#onEvent) return this.#onEvent(event);
        this.#events.push(event);
        this.#wake();
    }

    /** Nothing more comes: after what waits, the iterator is done, or fails. */
    end(fault = null) {
        this.#end ??= { fault };
        this.#wake();
    }

    async *read() {
        for (;;) {
            while (this.#events.length > 0) {
                yield this.#events.shift();
                if (this.#events.length === 0) this.#drained();
            }
            if (this.#end?.fault) throw this.#end.fault;
            if (this.#end) return;
            await new Promise((resolve) => (this.#wake = resolve));
        }
    }
}

/** A channel of the type WebSockets. It is made anew when it is gone, with its subscriptions as far as they had come. */
export class Channel {
    #tocsin;
    #wish;
    #made = null;
    #subscriptions = new Set();
    #line = null;
    #running = null;
    #closed = false;
    /** How many subscriptions are being made or set back, and the lists that wait meanwhile. */
    #asking = 0;
    #held = [];

    constructor(tocsin, wish) {
        this.#tocsin = tocsin;
        this.#wish = wish;
        this.state = 'new';
    }

    get resourceURL() {
        return this.#made.resourceURL;
    }

    get callbackURL() {
        return this.#made.callbackURL;
    }

    async start() {
        await this.#make();
        const checkSeconds = this.#wish.checkSeconds ?? Math.max(1, Math.min(30, this.#made.channelLifetime / 3));
        this.#line = new Line(this.#tocsin, this, checkSeconds);
        this.#running = this.#line.run();
    }

    async #make() {
        const wish = { channelType: 'WebSockets' };
        if (this.#wish.lifetimeSeconds) wish.channelLifetime = this.#wish.lifetimeSeconds;
        const channels = path`/notificationchannel/v1/${this.#wish.user}/channels`;
        const answer = await this.#tocsin.request('POST', channels, { notificationChannel: wish });
        this.#made = answer.notificationChannel;
    }

    /** Subscribes to a box: with what comes from now on, or after a restartToken. */
    async subscribe(options) {
        const subscription = new Subscription(this.#tocsin, this, options);
        await this.holding(async () => {
            await subscription.make();
            this.#subscriptions.add(subscription);
        });
        return subscription;
    }

    /** Lists may come before the answer that says what they belong to: until `ask` has taken it in, they wait. */
    async holding(ask) {
        this.#asking += 1;
        try {
            await ask();
        } finally {
            this.#asking -= 1;
            if (this.#asking === 0) this.#held.splice(0).forEach((list) => this.#take(list));
        }
    }

    /** For a subscription that has something to put right. What fails is tried again with a new connection. */
    async mend(ask) {
        if (this.#closed) return;
        try {
            await this.holding(ask);
        } catch (fault) {
            this.#tocsin.onProblem(fault);
            this.#line.again();
        }
    }

    /** For the line: the channel and the subscriptions, those that are there or new ones. */
    async address() {
        if (!(await this.#tocsin.find(this.#made.resourceURL))) await this.#make();
        for (const subscription of this.#subscriptions) await this.holding(() => this.#look(subscription));
        return { url: this.#tocsin.here(this.#made.channelData.channelURL), protocols: [SUBPROTOCOL] };
    }

    /** One that can be had no more must not keep the others. */
    async #look(subscription) {
        try {
            await subscription.look();
        } catch (fault) {
            if (![400, 403, 404].includes(fault.status)) throw fault;
            this.#subscriptions.delete(subscription);
            subscription.end(fault);
        }
    }

    /** For the line. */
    heard(message) {
        for (const { nmsEventList } of message.notificationList ?? []) {
            if (nmsEventList) this.#take(nmsEventList);
        }
    }

    #take(list) {
        if (this.#asking > 0) {
            if (this.#held.length < HELD_MOST) this.#held.push(list);
            return;
        }
        const href = list.link?.find(({ rel }) => rel === 'NmsSubscription')?.href;
        const url = href && this.#tocsin.here(href);
        for (const subscription of this.#subscriptions) {
            if (subscription.url === url) subscription.take(list);
        }
    }

    /** For the line. */
    changed(state) {
        this.state = state;
        this.#wish.onState?.(state);
    }

    /** For the line. */
    ended(fault = null) {
        for (const subscription of this.#subscriptions) subscription.end(fault);
    }

    /** Ends one subscription. */
    async unsubscribe(subscription) {
        this.#subscriptions.delete(subscription);
        subscription.end();
        await orNull(this.#tocsin.request('DELETE', subscription.url));
    }

    /** Ends the channel and its subscriptions. A page that is left may call this, and need not wait. */
    async close() {
        if (this.#closed) return;
        this.#closed = true;
        this.#line.close();
        this.ended();
        const made = this.#made;
        await Promise.all([this.#delete(made), this.#running]);
        if (this.#made !== made) await this.#delete(this.#made); // it was just being made anew
    }

    async #delete({ resourceURL }) {
        await orNull(this.#tocsin.request('DELETE', resourceURL, undefined, { keepalive: true }));
    }
}

/** A subscription to a box, on a channel. */
export class Subscription {
    #tocsin;
    #channel;
    #options;
    #inflow;
    /** The index of the next list. */
    #next = 1;
    /** Lists were left out: one is missing, or nobody read those before. */
    #behind = false;
    #prolonging = null;

    constructor(tocsin, channel, options) {
        this.#tocsin = tocsin;
        this.#channel = channel;
        this.#options = options;
        this.#inflow = new Inflow(options, () => this.#drained());
        this.url = null;
        this.duplicates = 0;
        this.gaps = 0;
        /** Everything up to here has come. */
        this.restartToken = options.restartToken ?? null;
    }

    [Symbol.asyncIterator]() {
        return this.#inflow.read();
    }

    async make() {
        const { box, store = this.#tocsin.store, filter, attributes, durationSeconds } = this.#options;
        const wish = { callbackReference: { notifyURL: this.#channel.callbackURL, notificationFormat: 'JSON' } };
        if (filter) wish.filter = filter;
        if (attributes) wish['x-attributes'] = true;
        if (durationSeconds) wish.duration = durationSeconds;
        if (this.restartToken) wish.restartToken = this.restartToken;
        const target = path`/nms/v1/${store}/${box}/subscriptions`;
        this.#adopt((await this.#tocsin.request('POST', target, { nmsSubscription: wish })).nmsSubscription);
    }

    #adopt({ resourceURL, index, restartToken, duration }) {
        this.url = this.#tocsin.here(resourceURL);
        this.#next = index;
        this.#behind = false;
        this.restartToken ??= restartToken;
        this.#prolongIn(duration / 2);
    }

    #prolongIn(seconds) {
        clearTimeout(this.#prolonging);
        const wait = Math.min(Math.max(seconds, 1) * 1000, TIMER_MOST);
        this.#prolonging = setTimeout(() => this.#channel.mend(() => this.#prolong()), wait);
    }

    async #prolong() {
        const update = { duration: this.#options.durationSeconds ?? 0 };
        const answer = await orNull(this.#tocsin.request('POST', this.url, { nmsSubscriptionUpdate: update }));
        return answer ? this.#prolongIn(answer.nmsSubscription.duration / 2) : this.make();
    }

    /** Before a socket is opened: sees that the subscription is there, and goes on where we are. */
    async look() {
        const found = await this.#tocsin.find(this.url);
        if (!found) return this.make();
        if (this.#behind || found.nmsSubscription.index > this.#next) await this.rewind();
    }

    /** Has the server begin again after what has come. Indexes go on, so what is under way counts as a duplicate. */
    async rewind() {
        const update = { nmsSubscriptionUpdate: { restartToken: this.restartToken } };
        const answer = await orNull(this.#tocsin.request('POST', this.url, update));
        return answer ? this.#adopt(answer.nmsSubscription) : this.make();
    }

    take(list) {
        if (this.#behind) return;
        if (list.index < this.#next) {
            this.duplicates += 1;
        } else if (list.index > this.#next) {
            this.#gap(list.index);
        } else if (this.#inflow.full) {
            this.#behind = true;
        } else {
            this.#deliver(list);
        }
    }

    #gap(index) {
        this.gaps += 1;
        this.#behind = true;
        this.#options.onGap?.({ expected: this.#next, got: index });
        this.#channel.mend(() => this.rewind());
    }

    #drained() {
        if (this.#behind) this.#channel.mend(() => this.rewind());
    }

    /** The token stands behind the last event of a list: whoever goes on from an earlier one gets the list again. */
    #deliver({ index, restartToken, nmsEvent }) {
        const before = this.restartToken;
        this.#next = index + 1;
        this.restartToken = restartToken;
        const events = [nmsEvent ?? []].flat();
        events.forEach((event, at) => {
            const [kind, content] = Object.entries(event)[0] ?? ['unknown', null];
            const token = at === events.length - 1 ? restartToken : before;
            this.#inflow.push({ kind, content, index, restartToken: token });
        });
    }

    end(fault) {
        clearTimeout(this.#prolonging);
        this.#inflow.end(fault);
    }

    /** Ends the subscription; the channel stays. */
    async close() {
        await this.#channel.unsubscribe(this);
    }
}

/** A socket that listens to an inbox or a room. Its position is the id of the last message. */
export class Listener {
    #tocsin;
    #path;
    #options;
    #inflow;
    #line;
    #running;
    #since;
    #lastId = 0;
    #openedAt = null;

    constructor(tocsin, path, options) {
        this.#tocsin = tocsin;
        this.#path = path;
        this.#options = options;
        this.#since = String(options.since ?? 'latest');
        this.#inflow = new Inflow(options);
        this.state = 'new';
        this.#line = new Line(tocsin, this);
        this.#running = this.#line.run();
    }

    [Symbol.asyncIterator]() {
        return this.#inflow.read();
    }

    /** From where to go on, as `since` takes it. */
    get since() {
        if (this.#lastId > 0) return String(this.#lastId);
        if (this.#since !== 'latest' || this.#openedAt === null) return this.#since;
        // Nothing has come since we began to listen: that long ago.
        return `${Math.ceil((Date.now() - this.#openedAt) / 1000) + 1}s`;
    }

    /** For the line. */
    address() {
        const query = new URLSearchParams({ since: this.since });
        if (this.#options.user) query.set('user', this.#options.user);
        return { url: `${this.#tocsin.here(this.#path)}?${query}` };
    }

    /** For the line. */
    heard(message) {
        const id = message.notification?.id ?? message.id;
        const isNew = message.action !== 'readed' || !message.notification;
        if (message.action === 'reset' && id === undefined) {
            [this.#lastId, this.#since, this.#openedAt] = [0, 'latest', Date.now()];
        } else if (isNew) {
            if (!(id > this.#lastId)) return; // it was under way when the socket broke
            this.#lastId = id;
        }
        this.#inflow.push(message);
        if (this.#inflow.full) this.#overrun();
    }

    /** Nobody reads: what waits is read to its end, and whoever wants more listens again from there. */
    #overrun() {
        this.#line.close();
        this.ended(new TocsinError(`nothing was read for too long; go on with since=${this.since}`, 0));
    }

    /** For the line. */
    changed(state) {
        if (state === 'open') this.#openedAt ??= Date.now();
        this.state = state;
        this.#options.onState?.(state);
    }

    /** For the line. */
    closed(reason) {
        const told = /since=(\S+)/.exec(reason)?.[1];
        if (told && this.#lastId === 0) this.#since = told;
    }

    /** For the line. */
    ended(fault = null) {
        this.#inflow.end(fault);
    }

    async close() {
        this.#line.close();
        this.ended();
        await this.#running;
    }
}
