// This node: whether it is ready, and charts of what it measures.

import { $, element, facts } from './page.js';
import { server, tocsin } from './session.js';

/** Milliseconds between two looks at the node, and points of a chart. */
export const LOOK = 2000;
const POINTS = 60;
const SVG = 'http://www.w3.org/2000/svg';

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
    ['Log delay, p95', ' ms', latency('tocsin_log_delay_seconds_bucket')],
    ['Requests, p95', ' ms', latency('tocsin_http_request_seconds_bucket')],
].map(([name, unit, next]) => ({ name, unit, next, points: [] }));

function svg(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    return made;
}

for (const chart of CHARTS) {
    chart.output = element('output', {}, '–');
    chart.most = element('span', { className: 'most', ariaHidden: 'true' });
    chart.svg = svg('svg', { viewBox: `0 0 ${POINTS - 1} 100`, preserveAspectRatio: 'none', role: 'img', 'aria-label': chart.name });
    $('charts').append(element('figure', {}, element('figcaption', {}, chart.name, chart.output), chart.most, chart.svg));
}

const shown = (value, unit) => (value === null ? 'nothing' : `${value.toFixed(value < 10 ? 1 : 0)}${unit}`);

/** Where there is nothing to tell, there is a gap. */
function draw({ name, points, svg: picture, output, most: label, unit }) {
    const known = points.filter((value) => value !== null);
    const most = Math.max(1, ...known);
    const from = POINTS - points.length;
    const place = (value, at) => `${from + at},${98 - (90 * value) / most}`;
    const runs = [[]];
    points.forEach((value, at) => (value === null ? runs.push([]) : runs.at(-1).push([value, at])));
    picture.replaceChildren(...runs.filter((run) => run.length).flatMap((run) => {
        const line = run.map(([value, at]) => place(value, at)).join(' ');
        const [first, last] = [run[0][1], run.at(-1)[1]];
        return [svg('polygon', { points: `${from + first},100 ${line} ${from + last},100` }), svg('polyline', { points: line })];
    }));
    const last = points.at(-1);
    output.value = last === null ? '–' : shown(last, unit);
    label.textContent = known.length ? shown(most, unit) : '';
    const seconds = Math.round((points.length * LOOK) / 1000);
    const span = known.length ? `between ${shown(Math.min(...known), unit)} and ${shown(Math.max(...known), unit)}` : 'nothing';
    picture.setAttribute('aria-label', `${name}: ${shown(last, unit)} now, ${span} in the last ${seconds} seconds`);
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

async function lookAtReadiness() {
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

/** Looks once. */
export async function lookAtNode() {
    try {
        await Promise.all([lookAtReadiness(), lookAtMetrics()]);
    } catch {
        showReady('cannot be reached', false);
    }
}
