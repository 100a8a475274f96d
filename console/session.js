// Who asks: the token, and the server as its user sees it.

import { Tocsin, path } from './tocsin.js';
import { say } from './page.js';

export const server = location.href.replace(/\/console.*$/s, '');

export const tocsin = new Tocsin({
    server,
    token: () => sessionStorage.getItem('token'),
    onProblem: (fault) => say(`${fault.message}; trying again`, true),
});

/** What is watched: what was said in the form, and the console's own channel. */
export const session = { chosen: null, channel: null };

export const boxPath = (rest = '') => path`/nms/v1/${session.chosen.store}/${session.chosen.box}` + rest;
export const channelsPath = () => path`/notificationchannel/v1/${session.chosen.user}/channels`;

/** What the token says of its user; nothing when it is none of JSON. */
export function claims() {
    const part = sessionStorage.getItem('token')?.split('.')[1]?.replace(/-/g, '+').replace(/_/g, '/');
    try {
        return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (byte) => byte.codePointAt(0))));
    } catch {
        return {};
    }
}
