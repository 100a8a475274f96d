// The watched box: what is in it, its subscriptions, and the user's channels; sending and explaining.

import { $, attempt, badge, button, element, entry, facts, idOf, lasting, moment, on, replaceEntries, small, strong } from './page.js';
import { boxPath, channelsPath, session, tocsin } from './session.js';
import { refreshSenders } from './operator.js';

/** Attributes of the root folder. */
const COUNTS = ['SubtreeMsgCount', 'SubtreeUnreadMsgCount', 'SubtreeSize'];

let refreshing = null;
/** Not for each of many events. */
export function refreshSoon() {
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

export async function showResources() {
    const { store, box, user } = session.chosen;
    const counts = COUNTS.map((name) => `attrFilter=${name}`).join('&');
    const targets = [boxPath(`/folders/root?${counts}`), boxPath('/subscriptions'), channelsPath()];
    const [folder, subscriptions, channels] = await Promise.all(targets.map(findAllowed));
    const counted = Object.fromEntries((folder?.folder.attributes.attribute ?? []).map(({ name, value }) => [name, value[0]]));
    const [objects, unread, bytes] = COUNTS.map((name) => counted[name] ?? 0);
    $('watched').hidden = false;
    $('send-to').textContent = `to ${store}/${box}`;
    $('box-facts').replaceChildren(...facts({ box: `${store}/${box}`, objects, unread, bytes, user }));
    showSubscriptions(subscriptions?.nmsSubscriptionList?.subscription ?? []);
    const listed = channels?.notificationChannelList?.notificationChannel ?? [];
    replaceEntries($('channels'), listed.map(channelEntry));
}

function showSubscriptions(list) {
    const before = $('of').value;
    const ours = list.find(({ callbackReference }) => isOurs(callbackReference.notifyURL));
    replaceEntries($('subscriptions'), list.map(subscriptionEntry));
    $('of').replaceChildren(...list.map(({ resourceURL, callbackReference }) =>
        element('option', { value: resourceURL }, `${idOf(resourceURL).slice(-6)} to ${target(callbackReference.notifyURL)}`)));
    const kept = list.some(({ resourceURL }) => resourceURL === before);
    if (kept || ours) $('of').value = kept ? before : ours.resourceURL;
}

const isOurs = (callbackURL) => callbackURL === session.channel?.callbackURL;

/** A callbackURL is a secret, and says no more than which channel it is of. */
function target(notifyURL) {
    if (isOurs(notifyURL)) return 'this page';
    const channel = /\/callback\/([^./]+)/.exec(notifyURL)?.[1];
    return channel ? `channel ${channel.slice(-6)}` : notifyURL;
}

function subscriptionEntry({ resourceURL, callbackReference, duration, index, restartToken }) {
    const ours = isOurs(callbackReference.notifyURL);
    return entry([ours ? null : remove('subscription', resourceURL)],
        strong(idOf(resourceURL).slice(-6)), ` to ${target(callbackReference.notifyURL)}`,
        small(`next index ${index} · after `, moment(restartToken), ` · ends in ${lasting(duration)}`));
}

function channelEntry(channel) {
    const { channelType, channelData, channelLifetime, resourceURL, callbackURL } = channel;
    const [ours, disabled] = [isOurs(callbackURL), channel['x-disabled']];
    const to = channelData?.['x-webhookURL'] ?? channelData?.channelSubType;
    const why = disabled ? element('span', { className: 'bad' }, 'disabled since ', moment(disabled.since), `: ${disabled.reason}`) : null;
    return entry([disabled ? enable(resourceURL) : null, ours ? null : remove('channel', resourceURL)],
        strong(channelType), ` ${idOf(resourceURL).slice(-6)} `, ours ? badge('this page') : null,
        small(`lifetime ${lasting(channelLifetime)}${to ? ` · to ${to}` : ''}`), why);
}

const about = (text, what, url) => `${text} the ${what} ${idOf(url)}`;

const remove = (what, url) =>
    button('Delete', about('Delete', what, url),
        () => tocsin.request('DELETE', url).then(showResources), `The ${what} is deleted`);

/** What a disabled channel was not sent goes out again from where it stands. */
const enable = (url) =>
    button('Retry', about('Retry', 'channel', url), async () => {
        await tocsin.request('PUT', `${url}/channelLifetime`, { notificationChannelLifetime: {} });
        await Promise.all([showResources(), refreshSenders()]);
    }, 'Enabled again: what waits is sent');

on('send', 'submit', async () => {
    if (!session.chosen) throw new Error('Watch a box first');
    const attributes = { From: $('from').value.trim(), To: session.chosen.box, TextContent: $('text').value, Direction: 'In' };
    const attribute = Object.entries(attributes).filter(([, value]) => value).map(([name, value]) => ({ name, value: [value] }));
    const object = { parentFolderPath: $('folder').value.trim(), attributes: { attribute } };
    await tocsin.request('POST', boxPath('/objects'), { object });
    $('text').value = '';
}, 'Sent');

$('text').addEventListener('keydown', (pressed) => {
    if (pressed.key === 'Enter' && (pressed.ctrlKey || pressed.metaKey)) $('send').requestSubmit();
});

/** Explains what became of an event on its way to the subscription that is selected. */
export async function explain(seq) {
    if (seq) $('seq').value = seq;
    if (!$('of').value) throw new Error('Choose a subscription to explain deliveries to');
    const told = await tocsin.request('GET', `${$('of').value}/explain?seq=${encodeURIComponent($('seq').value)}`);
    const list = element('dl', {}, ...facts(told.facts));
    const kind = { confirmed: 'good', never: 'bad' }[told.verdict];
    $('explanation').replaceChildren(element('p', {}, badge(told.verdict, kind), ` ${told.why}`), list);
}

on('explain', 'submit', () => explain());
