// The console. It is a client like any other: all that it shows, it asks the server's API for, with the user's token.

import { $, attempt, element, on, say } from './page.js';
import { claims, session, tocsin } from './session.js';
import { explain, refreshSoon, showResources } from './box.js';
import { feed } from './feed.js';
import { LOOK, lookAtNode } from './node.js';
import { boxes, lookAtOperator } from './operator.js';

const FIELDS = ['user', 'box', 'store'];
/** Seconds after which a channel ends that a page could not end itself. */
const LIFETIME = 120;
/** Looks at the node for each look at what there is besides. */
const LOOKS = 2;

// Logging in

async function logIn() {
    const token = $('token').value.trim();
    if (token) sessionStorage.setItem('token', token);
    else sessionStorage.removeItem('token');
    $('logout').hidden = !token;
    const { sub, scope } = claims();
    for (const field of ['user', 'box']) if (sub && !$(field).value) $(field).value = sub;
    await lookAtOperator();
    if (token) say(`Logged in${sub ? ` as ${sub}` : ''}${scope ? `, for ${[scope].flat().join(' ')}` : ''}`);
}

async function logOut() {
    await leave();
    $('token').value = '';
    session.chosen = null;
    $('watched').hidden = true;
    await logIn().catch(() => {}); // without a token
}

on('login', 'submit', logIn);
on('logout', 'click', logOut, 'Logged out: the token is forgotten');

// Watching

async function watch() {
    await leave();
    if ($('token').value.trim() !== (await tocsin.token() ?? '')) await logIn();
    session.chosen = Object.fromEntries(FIELDS.map((name) => [name, $(name).value.trim()]));
    for (const name of FIELDS) sessionStorage.setItem(name, session.chosen[name]);
    feed.clear();
    const { user, box, store } = session.chosen;
    session.channel = await tocsin.open({ user, lifetimeSeconds: LIFETIME, onState: showState });
    $('leave').hidden = false;
    sessionStorage.setItem('watching', 'yes');
    await session.channel.subscribe({ box, store, attributes: true, onEvent: (event) => (feed.take(event), refreshSoon()) });
    await showResources();
}

/** Ends the console's own channel, and the subscription with it. */
async function leave() {
    const { channel } = session;
    session.channel = null;
    sessionStorage.removeItem('watching');
    $('leave').hidden = true;
    await channel?.close();
    if (channel && session.chosen) await showResources();
}

function showState(state) {
    $('state').textContent = state === 'open' ? 'live' : state;
    $('state').className = `badge ${state === 'open' ? 'good' : ''}`;
}

on('who', 'submit', watch, 'Watching');
on('leave', 'click', leave, 'Stopped');
addEventListener('pagehide', () => session.channel?.close().catch(() => {}));

/** A box of the list: by its owner, unless a user is given. */
boxes.onWatch = async (store, box) => {
    $('store').value = store;
    $('box').value = box;
    $('user').value ||= box;
    await watch();
    say(`Watching ${store}/${box}`);
    $('feed-heading').scrollIntoView({ block: 'nearest' });
};

feed.onExplain = (seq) => attempt(() => explain(seq));

// Keys

const to = (id) => () => $(id).focus();
const KEYS = [
    ['/', 'search in the feed', to('search')],
    ['p', 'pause the feed, or go on', () => feed.pause()],
    ['f', 'to the events; arrows choose one, Enter explains it', () => ($('feed').hidden ? $('feed-heading') : $('feed')).focus()],
    ['c', 'compose a message; Ctrl+Enter sends it', to('text')],
    ['b', 'find a box', to('boxes-filter')],
    ['w', 'watch another box', to('box')],
    ['t', 'log in with a token', to('token')],
    ['?', 'these keys', () => $('keys').showModal()],
];
$('keys-list').append(...KEYS.map(([key, what]) =>
    element('div', {}, element('dt', {}, element('kbd', {}, key)), element('dd', {}, what))),
element('div', {}, element('dt', {}, element('kbd', {}, 'Esc')), element('dd', {}, 'leave a field, or this list')));
$('help').addEventListener('click', () => $('keys').showModal());
$('keys-on').checked = sessionStorage.getItem('keys') !== 'off';
$('keys-on').addEventListener('change', () => sessionStorage.setItem('keys', $('keys-on').checked ? 'on' : 'off'));

document.addEventListener('keydown', (pressed) => {
    if (pressed.ctrlKey || pressed.altKey || pressed.metaKey || $('keys').open) return;
    const inField = pressed.target.matches('input, select, textarea');
    if (pressed.key === 'Escape' && inField) pressed.target.blur();
    const key = KEYS.find(([of]) => of === pressed.key);
    if (!key || inField || !$('keys-on').checked) return;
    pressed.preventDefault();
    key[2]();
});

// What was chosen lasts as long as the tab: the token too, which is stored nowhere else.
for (const name of ['token', ...FIELDS]) $(name).value = sessionStorage.getItem(name) ?? $(name).value;
$('logout').hidden = !$('token').value;

if (sessionStorage.getItem('watching')) attempt(watch, 'Watching again');

/** Looks again and again, as long as somebody looks at the page. */
async function look(count = 0) {
    if (!document.hidden || count === 0) {
        await lookAtNode();
        if (count % LOOKS === 0) await lookAtOperator().catch(() => {});
    }
    setTimeout(look, LOOK, count + 1);
}
look();
