// The feed: each event of the watched box as it comes.

import { $, element } from './page.js';

/** Events that the feed keeps. */
const KEPT = 500;
/** Milliseconds between two words to those who hear the page: each says how many events have come. */
const ANNOUNCE = 5000;

export const feed = {
    /** What is shown, the oldest first. */
    events: [],
    /** What has come while the feed is paused; null while it is not. */
    waiting: null,
    /** The line that was chosen. */
    chosen: null,
    /** Called with the lastModSeq of an event that is to be explained. */
    onExplain: () => {},
    unsaid: 0,
    count: 0,

    clear() {
        this.events = [];
        if (this.waiting) this.waiting = [];
        this.choose(null);
        $('feed').replaceChildren();
        $('feed').hidden = true;
        $('feed-empty').hidden = false;
        $('feed-empty').textContent = 'Nothing has happened since. Send something, and it shows here.';
        this.tally();
    },

    take(event) {
        const text = (JSON.stringify(event.content) + event.kind).toLowerCase();
        const shown = { ...event, at: new Date(), text };
        if (this.waiting) this.waiting.push(shown);
        else this.show(shown);
        if (this.waiting?.length > KEPT) this.waiting.shift();
        this.tally();
    },

    show(event) {
        $('feed').hidden = false;
        $('feed-empty').hidden = true;
        this.events.push(event);
        event.line = line(event, (this.count += 1));
        event.line.hidden = !this.wants(event);
        event.line.addEventListener('click', () => this.explain(event.line));
        $('feed').prepend(event.line);
        if (this.events.length > KEPT) this.drop(this.events.shift());
        this.announce(event);
    },

    drop({ line }) {
        if (line === this.chosen) this.choose(null);
        line.remove();
    },

    wants: (event) => event.text.includes($('search').value.trim().toLowerCase()),

    filter() {
        for (const event of this.events) event.line.hidden = !this.wants(event);
        if (this.chosen?.hidden) this.choose(null);
        this.tally();
    },

    pause() {
        const waiting = this.waiting;
        this.waiting = waiting ? null : [];
        waiting?.forEach((event) => this.show(event));
        $('pause').setAttribute('aria-pressed', String(!waiting));
        $('pause').textContent = waiting ? 'Pause' : 'Resume';
        this.tally();
    },

    tally() {
        const shown = this.events.filter((event) => !event.line.hidden).length;
        const waiting = this.waiting?.length ? `, ${this.waiting.length} waiting` : '';
        $('count').textContent = `${shown} of ${this.events.length}${waiting}`;
    },

    /** The list itself is silent: of many events at once, only how many there were and the newest are told. */
    announce(event) {
        this.unsaid += 1;
        this.newest = event;
        this.saying ??= setTimeout(() => {
            const events = this.unsaid === 1 ? 'One event' : `${this.unsaid} events, the newest`;
            $('announced').textContent = `${events}: ${this.newest.kind}, ${summary(this.newest.content)}`;
            this.saying = undefined;
            this.unsaid = 0;
        }, ANNOUNCE);
    },

    choose(line) {
        this.chosen?.setAttribute('aria-selected', 'false');
        this.chosen = line;
        line?.setAttribute('aria-selected', 'true');
        line?.scrollIntoView({ block: 'nearest' });
        if (line) $('feed').setAttribute('aria-activedescendant', line.id);
        else $('feed').removeAttribute('aria-activedescendant');
    },

    explain(line) {
        this.choose(line);
        if (line?.dataset.seq) this.onExplain(line.dataset.seq);
    },

    press(key) {
        const lines = [...$('feed').children].filter((one) => !one.hidden);
        const at = lines.indexOf(this.chosen);
        const to = { ArrowDown: at + 1, ArrowUp: Math.max(at - 1, 0), Home: 0, End: lines.length - 1 }[key];
        if (key === 'Enter') this.explain(this.chosen);
        else if (to === undefined) return false;
        else if (lines[to]) this.choose(lines[to]);
        return true;
    },
};

/** What an object says, in a line: first its text, and not when, which stands below. */
function summary(content) {
    const attributes = content?.attributes?.attribute ?? [];
    const said = Object.fromEntries(attributes.map(({ name, value }) => [name, [value].flat().join(', ')]));
    const texts = ['Subject', 'TextContent'].map((name) => said[name]).filter(Boolean);
    for (const name of ['Subject', 'TextContent', 'Date']) delete said[name];
    return content?.name ?? [...texts, ...Object.entries(said).map(([name, value]) => `${name}: ${value}`)].join(' · ');
}

/** One event of the feed. */
function line({ kind, content, index, at }, number) {
    const flags = content?.flags?.flag ?? [];
    const place = decodeURIComponent(content?.resourceURL?.split('/nms/v1/')[1] ?? '');
    const seq = content?.lastModSeq;
    const made = element('div', { id: `event-${number}`, role: 'option', ariaSelected: 'false', className: 'event' },
        element('span', { className: /deleted|expired/.test(kind) ? 'kind deleted' : 'kind' }, kind), ' ',
        summary(content), flags.length ? ` [${flags.join(' ')}]` : '',
        element('small', {}, `${at.toLocaleTimeString()} · ${place} · lastModSeq ${seq ?? '–'} · index ${index}`));
    if (seq !== undefined) made.dataset.seq = seq;
    return made;
}

$('search').addEventListener('input', () => feed.filter());
$('pause').addEventListener('click', () => feed.pause());
$('feed').addEventListener('keydown', (pressed) => {
    if (feed.press(pressed.key)) pressed.preventDefault();
});
