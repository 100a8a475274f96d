// What all parts of the page are made with.

export const $ = (id) => document.getElementById(id);

/** Says something to whoever is there, until something else is said. */
export function say(text, bad = false) {
    $('said').textContent = text;
    $('said').classList.toggle('bad', bad);
}

/** Does what a user asked for, and says why if it fails. */
export async function attempt(what, done) {
    try {
        await what();
        if (done) say(done);
    } catch (fault) {
        say(fault.message, true);
    }
}

export const on = (id, event, act, done) =>
    $(id).addEventListener(event, (happened) => {
        happened.preventDefault();
        attempt(act, done);
    });

/** An element with texts and elements in it; what is null is left out. */
export function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children.filter((child) => child !== null));
    return made;
}

export const facts = (of) =>
    Object.entries(of).map(([name, value]) =>
        element('div', {}, element('dt', {}, name), element('dd', {}, value instanceof Node ? value : String(value ?? '–'))));

export const badge = (text, kind = '') => element('span', { className: `badge ${kind}` }, text);
export const small = (...children) => element('small', {}, ...children);
export const strong = (text) => element('strong', {}, text);
export const idOf = (url) => url.split('/').pop();

/** A moment: the time of today, or the date too. */
export function moment(text) {
    const at = new Date(text);
    const today = at.toDateString() === new Date().toDateString();
    return element('time', { dateTime: text, title: text }, today ? at.toLocaleTimeString() : at.toLocaleString());
}

/** How long, roughly. */
export function lasting(seconds) {
    const [size, unit] = [[86400, 'days'], [3600, 'hours'], [60, 'minutes'], [1, 'seconds']].find(([of]) => seconds >= 2 * of) ?? [1, 'seconds'];
    return `${Math.round(seconds / size)} ${unit}`;
}

/** An entry of a list: what it says, and at its side its buttons. */
export const entry = (buttons, ...said) => element('li', {}, element('div', {}, ...said), ...buttons.filter((one) => one !== null));

/** A button of an entry. `name` says more than its text: which entry it is about. */
export function button(text, name, act, done) {
    const made = element('button', { type: 'button', ariaLabel: name }, text);
    made.addEventListener('click', () => attempt(act, done));
    return made;
}

/** Puts entries in place of what a list has; who was on a button of one is on the same button again. */
export function replaceEntries(list, entries) {
    const held = list.contains(document.activeElement) ? document.activeElement.ariaLabel : null;
    list.replaceChildren(...(entries.length ? entries : [element('li', { className: 'empty' }, 'none')]));
    if (held) [...list.querySelectorAll('button')].find((one) => one.ariaLabel === held)?.focus();
}
