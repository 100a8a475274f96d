/** What went wrong: `status` is that of HTTP, or the code with which the server closed a socket. */
export class TocsinError extends Error {
    constructor(message: string, status: number, fault?: unknown);
    readonly status: number;
    /** The body of the refusal. */
    readonly fault: unknown;
}

/** A path whose values are escaped: path`/nms/v1/${store}/${box}`. */
export function path(texts: TemplateStringsArray, ...values: Array<string | number>): string;

export type State = 'new' | 'connecting' | 'open' | 'waiting' | 'closed';

export interface Options {
    /** Where the server is; in a browser, the page's own origin unless said otherwise. */
    server?: string;
    /** An access token, or who gives one: asked for each request, and before a token of a socket expires. */
    token?: string | null | (() => string | null | Promise<string | null>);
    /** The store of the boxes: `default`. */
    store?: string;
    /** Told of what went wrong and is tried again. */
    onProblem?: (fault: Error) => void;
}

export interface ChannelOptions {
    user: string;
    lifetimeSeconds?: number;
    /** How often the connection is checked: a third of the lifetime, at most 30. */
    checkSeconds?: number;
    onState?: (state: State) => void;
}

export interface Inflow<E> {
    /** Takes what comes, instead of the iterator. */
    onEvent?: (event: E) => void;
    /** How much may wait for the iterator: 10,000. */
    bufferMax?: number;
}

export interface Criterion {
    type: string;
    name?: string;
    value?: string;
}

export interface SubscriptionOptions extends Inflow<BoxEvent> {
    box: string;
    store?: string;
    filter?: { criterion: Criterion[]; operator?: 'And' | 'Or' | 'Not' };
    /** Whether events carry the attributes of their objects. */
    attributes?: boolean;
    /** Goes on after this one. */
    restartToken?: string;
    durationSeconds?: number;
    /** A list was missing; it comes again. */
    onGap?: (gap: { expected: number; got: number }) => void;
}

export interface BoxEvent {
    kind:
        | 'changedObject' | 'deletedObject' | 'expiredObject'
        | 'changedFolder' | 'deletedFolder' | 'expiredFolder'
        /** What came before is no longer known: read the box anew. */
        | 'resetBox';
    content: any;
    /** Of its list: they are numbered within a subscription. */
    index: number;
    /** Keep it to go on after this event. */
    restartToken: string;
}

export interface ListenerOptions<E> extends Inflow<E> {
    user?: string;
    /** `latest`, `all`, the id of the last message, a moment, or a duration as `15m`. */
    since?: string | number;
    onState?: (state: State) => void;
}

export type InboxEvent =
    | { action: 'new' | 'readed'; notification: { id: number; user: string; readed: string | null; event: any } }
    /** What was asked for is no longer kept: list the notifications. */
    | { action: 'reset' };

export interface RoomMessage {
    id: number;
    timestamp: string;
    [member: string]: any;
}

export class Tocsin {
    constructor(options?: Options);
    store: string;
    token(): Promise<string | null>;
    /** Asks the server; answers the body as JSON, if it is. */
    request(method: string, target: string, body?: unknown, init?: RequestInit): Promise<any>;
    /** A GET; null for what is not there. */
    find(target: string): Promise<any>;
    /** A URL that the server has told, at the address by which it is reached from here. */
    here(target: string): string;
    open(options: ChannelOptions): Promise<Channel>;
    inbox(options?: ListenerOptions<InboxEvent>): Listener<InboxEvent>;
    room(name: string, options?: ListenerOptions<RoomMessage | { action: 'reset' }>): Listener<RoomMessage | { action: 'reset' }>;
}

export class Channel {
    private constructor();
    readonly state: State;
    readonly resourceURL: string;
    readonly callbackURL: string;
    subscribe(options: SubscriptionOptions): Promise<Subscription>;
    /** Ends the channel and its subscriptions. */
    close(): Promise<void>;
}

export class Subscription implements AsyncIterable<BoxEvent> {
    private constructor();
    readonly url: string;
    /** Everything up to here has come. */
    readonly restartToken: string;
    readonly duplicates: number;
    readonly gaps: number;
    [Symbol.asyncIterator](): AsyncIterator<BoxEvent>;
    close(): Promise<void>;
}

export class Listener<E> implements AsyncIterable<E> {
    private constructor();
    readonly state: State;
    /** From where to go on another time. */
    readonly since: string;
    [Symbol.asyncIterator](): AsyncIterator<E>;
    close(): Promise<void>;
}
