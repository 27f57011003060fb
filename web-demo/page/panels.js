// @ts-check
// The lists beside the picture: the story, what is on the way, the checks, and the record that was chosen with its causes.

import { describe, fields } from './describe.js';
import { byId, make } from './dom.js';
import { clock, plural, span, time } from './format.js';
import { looksFor } from './palette.js';

/**
 * @typedef {import('./model.js').Model} Model
 * @typedef {import('./model.js').Mote} Mote
 * @typedef {import('./model.js').Entry} Entry
 */

/** Lines of the list of what is on the way; more are counted. */
const WAY_LINES = 4;
/** While a run plays, that list changes no more often than this, in milliseconds. */
const CALM_MS = 160;
/** Effects of a record that are listed; more are counted. */
const EFFECT_LINES = 8;

export class Story {
  #list = byId('story-list');
  #current = -1;

  /**
   * @param {Model} model
   * @param {(place: number) => void} onChoose
   */
  load(model, onChoose) {
    this.#current = -1;
    byId('story-count').textContent = plural(model.page.story.length, 'line');
    this.#list.replaceChildren(
      ...model.page.story.map((line, i) => {
        const button = make('button', { onclick: () => onChoose(model.storyPlaces[i]) },
          make('time', { text: clock(line.at_ns) }),
          make('span', {}, ...(line.host === null ? [] : [make('span', { class: 'teller', text: line.host }), ' ']), line.text));
        return make('li', {}, button);
      }),
    );
    this.#list.scrollTop = 0;
  }

  /** @param {number} line index of the line that was reached; -1 before the first */
  show(line) {
    if (line === this.#current) return;
    this.#list.children[this.#current]?.removeAttribute('aria-current');
    this.#current = line;
    this.#list.classList.toggle('begun', line >= 0);
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

export class Way {
  #list = byId('way');
  #count = byId('way-count');
  #shown = '';
  #at = 0;

  /**
   * @param {Model} model
   * @param {number} t
   * @param {boolean} playing
   * @param {(mote: Mote) => void} onChoose
   */
  show(model, t, playing, onChoose) {
    // While it plays, a list that changed with every frame could be neither read nor clicked.
    if (playing && performance.now() - this.#at < CALM_MS) return;
    this.#at = performance.now();
    const motes = model.motesBetween(t, t).filter((mote) => mote.start <= t && t < mote.finish);
    const shown = motes.slice(0, WAY_LINES).map((mote) => mote.entry.id).join() + `/${motes.length}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#count.textContent = String(motes.length);
    const looks = looksFor(model.kinds);
    this.#list.replaceChildren(
      ...motes.slice(0, WAY_LINES).map((mote) => {
        const marks = [mote.duplicate && 'copy', mote.corrupted && 'corrupted', mote.lostAt !== null && 'will be lost'].filter(Boolean);
        return make('li', {}, make('button', { onclick: () => onChoose(mote) },
          badge(looks.get(mote.kind)),
          make('span', { text: `${mote.kind} ${mote.sent.nth ?? ''}` }),
          make('span', { class: 'quiet', text: `${mote.from} → ${mote.to}` }),
          make('span', { class: 'mark', text: marks.join(', ') })));
      }),
    );
    if (motes.length > WAY_LINES) this.#list.append(make('li', { class: 'quiet', text: `and ${motes.length - WAY_LINES} more` }));
    if (motes.length === 0) this.#list.append(make('li', { class: 'quiet', text: 'Nothing is on the links at this moment.' }));
  }

  /** Forgets what was shown: the next run may have records with the same ids. */
  reset() {
    this.#shown = '';
    this.#at = 0;
  }
}

/** @param {Model} model */
export function showChecks(model) {
  const { checks } = model.page;
  const held = checks.filter((check) => check.passed).length;
  byId('checks-count').textContent = `${held} of ${checks.length} hold`;
  byId('checks').replaceChildren(
    ...checks.map((check) =>
      make('li', { class: check.passed ? 'held' : 'broken' },
        make('span', { class: 'sign', text: check.passed ? '✓' : '✗' }),
        make('span', {}, make('strong', { text: check.name }), make('span', { class: 'hidden', text: check.passed ? ' holds' : ' is broken' }),
          make('span', { class: 'quiet', text: check.detail ?? '', title: check.detail ?? '' }))),
    ),
  );
}

/**
 * The look of a kind of datagram as a small picture; the style sheet draws it, in the colours of the day or of the night.
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
  const has = (/** @type {(mote: Mote) => unknown} */ trait) => model.motes.some(trait);
  if (has((mote) => mote.lostAt !== null)) items.push(make('li', { class: 'legend-lost' }, make('b', { text: '✕' }), 'lost'));
  if (has((mote) => mote.duplicate)) items.push(make('li', {}, make('i', { class: 'sample dotted' }), 'second copy'));
  if (has((mote) => mote.corrupted)) items.push(make('li', {}, make('i', { class: 'sample dashed' }), 'corrupted'));
  const links = model.page.links.filter((link) => link.description);
  const texts = new Set(links.map((link) => link.description));
  const words = texts.size === 1 ? [...texts] : links.map((link) => `${link.a}–${link.b}: ${link.description}`);
  // Between two hosts it stands in the picture.
  if (model.page.hosts.length > 2 && words.length > 0) items.push(make('li', { class: 'legend-links quiet', text: words.join('; ') }));
  byId('legend').replaceChildren(...items);
}

export class Details {
  #panel = byId('details');

  clear() {
    this.#panel.replaceChildren(make('p', { class: 'quiet', text:
      'Choose a datagram in the picture or in the list of what is on the way, or step from record to record with the arrow keys. Here it says what led to it.' }));
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
      parts.push(make('h3', { text: 'Because, first cause first' }), chain('ol', causes.slice(0, -1), onChoose, record));
    } else {
      parts.push(make('p', { class: 'quiet', text: record.host === null ? 'The laboratory did this by itself: nothing came before it.' : 'Nothing in the trace came before it: it begins a chain.' }));
    }
    if (effects.length > 0) {
      parts.push(make('h3', { text: 'What came of it' }), chain('ul', effects.slice(0, EFFECT_LINES), onChoose, record));
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
 * @param {Entry} chosen times are told relative to it
 */
function chain(tag, records, onChoose, chosen) {
  return make(tag, { class: 'chain' }, ...records.map((record) => {
    const apart = record.at_ns - chosen.at_ns;
    const when = apart === 0 ? 'same instant' : `${span(Math.abs(apart))} ${apart < 0 ? 'before' : 'later'}`;
    return make('li', {}, make('button', { onclick: () => onChoose(record) }, make('span', { text: describe(record) }), make('time', { text: when })));
  }));
}
