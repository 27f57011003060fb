// @ts-check
// Panels beside the picture: the story, the datagrams in flight, the checks, and the selected record with its causes.

import { describe, fields } from './describe.js';
import { byId, make } from './dom.js';
import { clock, plural, span, time } from './format.js';
import { looksFor } from './palette.js';

/**
 * @typedef {import('./model.js').Model} Model
 * @typedef {import('./model.js').Flight} Flight
 * @typedef {import('./model.js').Entry} Entry
 */

/** Maximum number of lines in the list of datagrams in flight. */
const IN_FLIGHT_LINES = 4;
/** Shortest time between two updates of that list while a run plays, in milliseconds. */
const UPDATE_MS = 160;
/** Maximum number of effects that are listed for a record. */
const EFFECT_LINES = 8;

export class Story {
  #list = byId('story-list');
  #current = -1;

  /**
   * @param {Model} model
   * @param {(position: number) => void} onChoose
   */
  load(model, onChoose) {
    this.#current = -1;
    byId('story-count').textContent = plural(model.page.story.length, 'line');
    this.#list.replaceChildren(
      ...model.page.story.map((line, i) => {
        const button = make('button', { onclick: () => onChoose(model.storyPositions[i]) },
          make('time', { text: clock(line.at_ns) }),
          make('span', {}, ...(line.host === null ? [] : [make('span', { class: 'host-name', text: line.host }), ' ']), line.text));
        return make('li', {}, button);
      }),
    );
    this.#list.scrollTop = 0;
  }

  /** @param {number} line index of the current line; -1 before the first */
  show(line) {
    if (line === this.#current) return;
    this.#list.children[this.#current]?.removeAttribute('aria-current');
    this.#current = line;
    this.#list.classList.toggle('started', line >= 0);
    const item = /** @type {HTMLElement | undefined} */ (this.#list.children[line]);
    if (!item) {
      this.#list.scrollTop = 0;
      return;
    }
    item.setAttribute('aria-current', 'true');
    const above = item.offsetTop - this.#list.offsetTop;
    const { scrollTop, clientHeight } = this.#list;
    if (above < scrollTop + 24 || above + item.offsetHeight > scrollTop + clientHeight - 48) {
      this.#list.scrollTop = above - clientHeight / 2;
    }
  }
}

export class InFlight {
  #list = byId('in-flight');
  #count = byId('in-flight-count');
  #shown = '';
  #at = 0;

  /**
   * @param {Model} model
   * @param {number} t
   * @param {boolean} playing
   * @param {(flight: Flight) => void} onChoose
   */
  show(model, t, playing, onChoose) {
    // A list that changes with every frame can be neither read nor clicked.
    if (playing && performance.now() - this.#at < UPDATE_MS) return;
    this.#at = performance.now();
    const flights = model.flightsBetween(t, t).filter((flight) => flight.start <= t && t < flight.finish);
    const shown = flights.slice(0, IN_FLIGHT_LINES).map((flight) => flight.entry.id).join() + `/${flights.length}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#count.textContent = String(flights.length);
    const looks = looksFor(model.kinds);
    this.#list.replaceChildren(
      ...flights.slice(0, IN_FLIGHT_LINES).map((flight) => {
        const marks = [flight.duplicate && 'duplicate', flight.corrupted && 'corrupted', flight.lostAt !== null && 'will be lost'].filter(Boolean);
        return make('li', {}, make('button', { onclick: () => onChoose(flight) },
          badge(looks.get(flight.kind)),
          make('span', { text: `${flight.kind} ${flight.sent.nth ?? ''}` }),
          make('span', { class: 'quiet', text: `${flight.from} → ${flight.to}` }),
          make('span', { class: 'mark', text: marks.join(', ') })));
      }),
    );
    if (flights.length > IN_FLIGHT_LINES) this.#list.append(make('li', { class: 'quiet', text: `and ${flights.length - IN_FLIGHT_LINES} more` }));
    if (flights.length === 0) this.#list.append(make('li', { class: 'quiet', text: 'No datagram is in flight at this time.' }));
  }

  /** Clears the list. The next run may have records with the same ids. */
  reset() {
    this.#shown = '';
    this.#at = 0;
  }
}

/** @param {Model} model */
export function showChecks(model) {
  const { checks } = model.page;
  const passed = checks.filter((check) => check.passed).length;
  byId('checks-count').textContent = `${passed} of ${checks.length} passed`;
  byId('checks').replaceChildren(
    ...checks.map((check) =>
      make('li', { class: check.passed ? 'passed' : 'failed' },
        make('span', { class: 'sign', text: check.passed ? '✓' : '✗' }),
        make('span', {}, make('strong', { text: check.name }), make('span', { class: 'hidden', text: check.passed ? ' passed' : ' failed' }),
          make('span', { class: 'quiet', text: check.detail ?? '', title: check.detail ?? '' }))),
    ),
  );
}

/**
 * The symbol of a kind of datagram. The style sheet draws it, in the colours of the light or dark theme.
 * @param {{shape: string, colour: number} | undefined} look
 */
function badge(look) {
  return make('span', { class: `badge ${look?.shape ?? 'circle'} kind-${look?.colour ?? 0}` });
}

/** @param {Model} model */
export function showLegend(model) {
  const looks = looksFor(model.kinds);
  const items = model.kinds.map((kind) => {
    const look = looks.get(kind);
    return make('li', {}, badge(look), kind);
  });
  const has = (/** @type {(flight: Flight) => unknown} */ trait) => model.flights.some(trait);
  if (has((flight) => flight.lostAt !== null)) items.push(make('li', { class: 'legend-lost' }, make('b', { text: '✕' }), 'lost'));
  if (has((flight) => flight.duplicate)) items.push(make('li', {}, make('i', { class: 'sample dotted' }), 'duplicate'));
  if (has((flight) => flight.corrupted)) items.push(make('li', {}, make('i', { class: 'sample dashed' }), 'corrupted'));
  const links = model.page.links.filter((link) => link.description);
  const texts = new Set(links.map((link) => link.description));
  const words = texts.size === 1 ? [...texts] : links.map((link) => `${link.a}–${link.b}: ${link.description}`);
  // With two hosts, the description is in the picture.
  if (model.page.hosts.length > 2 && words.length > 0) items.push(make('li', { class: 'legend-links quiet', text: words.join('; ') }));
  byId('legend').replaceChildren(...items);
}

export class Details {
  #panel = byId('details');

  clear() {
    this.#panel.replaceChildren(make('p', { class: 'quiet', text:
      'Select a datagram in the picture or in the list "In flight", or step through the records with the arrow keys. This panel then shows the causes of the record.' }));
  }

  /**
   * @param {Model} model
   * @param {Entry} record
   * @param {(record: Entry) => void} onChoose
   */
  show(model, record, onChoose) {
    const causes = model.causesOf(record);
    const effects = model.effects(record);
    const parts = [
      make('p', { class: 'chosen' }, make('time', { text: time(record.at_ns) }), make('strong', { text: describe(record) })),
      make('dl', {}, ...fields(record).map(([name, value]) => make('div', {}, make('dt', { text: name }), make('dd', { text: value })))),
    ];
    if (causes.length > 1) {
      parts.push(make('h3', { text: 'Causes, earliest first' }), chain('ol', causes.slice(0, -1), onChoose, record));
    } else {
      parts.push(make('p', { class: 'quiet', text: record.host === null ? 'The simulator did this. It has no earlier cause.' : 'No earlier record caused this.' }));
    }
    if (effects.length > 0) {
      parts.push(make('h3', { text: 'Effects' }), chain('ul', effects.slice(0, EFFECT_LINES), onChoose, record));
      if (effects.length > EFFECT_LINES) parts.push(make('p', { class: 'quiet', text: `and ${effects.length - EFFECT_LINES} more` }));
    }
    this.#panel.replaceChildren(...parts);
    this.#panel.scrollTop = 0;
  }
}

/**
 * @param {'ol' | 'ul'} tag
 * @param {Entry[]} records
 * @param {(record: Entry) => void} onChoose
 * @param {Entry} chosen the record to which times are relative
 */
function chain(tag, records, onChoose, chosen) {
  return make(tag, { class: 'chain' }, ...records.map((record) => {
    const apart = record.at_ns - chosen.at_ns;
    const when = apart === 0 ? 'same time' : `${span(Math.abs(apart))} ${apart < 0 ? 'before' : 'later'}`;
    return make('li', {}, make('button', { onclick: () => onChoose(record) }, make('span', { text: describe(record) }), make('time', { text: when })));
  }));
}
