// How the client is used, as its types have it: scripts/test-clients.sh compiles this, and nothing runs it. What stands below
// an expected error must not compile.

import { Channel, Tocsin, TocsinError, path } from '../tocsin.js';
import type { BoxEvent, InboxEvent, Listener, RoomMessage, State, Subscription } from '../tocsin.js';

const tocsin = new Tocsin({
    server: 'http://127.0.0.1:8080',
    token: async () => (await fetch('/my/token')).text(),
    onProblem: (fault) => console.error(fault.message),
});
new Tocsin();
new Tocsin({ token: 'eyJ', store: 'shop' });

const channel: Channel = await tocsin.open({ user: 'alice', onState: (state: State) => console.log(state) });
const messages: Subscription = await channel.subscribe({
    box: 'alice',
    attributes: true,
    restartToken: '2026-01-31T12:00:00.123456Z',
    filter: { criterion: [{ type: 'Flag', name: '\\Seen', value: 'false' }], operator: 'And' },
    onGap: ({ expected, got }) => console.log(got - expected),
});
for await (const { kind, content, index, restartToken } of messages) {
    if (kind === 'resetBox') continue;
    console.log(content.resourceURL, index + 1, restartToken.length);
    // @ts-expect-error there is no such kind
    if (kind === 'changedMind') break;
}
await channel.subscribe({ box: 'alice', onEvent: (event: BoxEvent) => console.log(event.kind), bufferMax: 10 });
console.log(messages.duplicates + messages.gaps, channel.resourceURL, channel.callbackURL);

const inbox: Listener<InboxEvent> = tocsin.inbox({ user: 'bob', since: 17 });
for await (const event of inbox) {
    if (event.action === 'reset') break;
    console.log(event.notification.id + 1, event.notification.readed?.length);
}
tocsin.room('builds', { onEvent: (message: RoomMessage | { action: 'reset' }) => console.log(message) });
await inbox.close();

try {
    await tocsin.request('POST', path`/nms/v1/${tocsin.store}/${'alice'}/objects`, { object: {} });
} catch (fault) {
    if (fault instanceof TocsinError && fault.status === 403) console.log(fault.fault);
}

// @ts-expect-error a channel is somebody's
await tocsin.open({});
// @ts-expect-error a subscription is of a box
await channel.subscribe({});
// @ts-expect-error channels are opened, not made
new Channel();
// @ts-expect-error it is told, not set
messages.gaps = 0;

await channel.close();
