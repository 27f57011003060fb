// @ts-check
// A run as the simulator reported it, indexed for drawing: what is on the links at a moment, and what led to what.

import { below, upTo } from './search.js';

/**
 * @typedef {{id: number, at_ns: number, host: string | null, cause: number | null, what: string, [field: string]: any}} Entry
 *   one record of the trace
 * @typedef {{name: string, role: string, address: string, inner: string[]}} Host
 * @typedef {{a: string, b: string, description: string}} Link
 * @typedef {{record: number, at_ns: number, host: string | null, text: string}} StoryLine
 * @typedef {{name: string, passed: boolean, detail: string}} Check
 * @typedef {{scenario: string, title: string, about: string, seed: number, digest: string, passed: boolean, outcome: string,
 *   end_ns: number, hosts: Host[], links: Link[], records: Entry[], story: StoryLine[], checks: Check[],
 *   counters: Record<string, unknown>}} Page what `run` answers
 * @typedef {{sent: Entry, entry: Entry, end: Entry | null, from: string, to: string, kind: string, start: number, finish: number,
 *   lostAt: number | null, reason: string, duplicate: boolean, corrupted: boolean}} Mote
 *   a datagram on a link, or a copy of one: `entry` is its own record, `lostAt` the share of the way it made (null: it arrived)
 */

/** How far a datagram is drawn on its way before it is lost, when the simulator decided so as it was sent. */
const LOST_ON_THE_WAY = 0.5;
/** The same for one that never got onto the wire: its sender's queue was full, or it was too long. */
const LOST_AT_THE_DOOR = 0.12;
const AT_THE_DOOR = ['queue-full', 'mtu', 'no-host'];

export class Model {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.records = page.records;
    this.at = Float64Array.from(page.records, (record) => record.at_ns);
    this.end = Math.max(page.end_ns, this.at.at(-1) ?? 0);
    /** @type {Map<number, number>} the place of each record, by its id */
    this.place = new Map(page.records.map((record, place) => [record.id, place]));
    this.storyPlaces = Float64Array.from(page.story, (line) => this.place.get(line.record) ?? upTo(this.at, line.at_ns) - 1);
    this.crossing = typicalCrossing(page.records);
    /** @type {Mote[]} in the order in which they were sent */
    this.motes = this.#collectMotes();
    /** @type {[string, string][]} the pairs of hosts with a link to be drawn: those of the scenario, and all that talked */
    this.pairs = pairsOf(page.links.map(({ a, b }) => [a, b]), this.motes);
    this.kinds = [...new Set(this.motes.map((mote) => mote.kind))];
    this.starts = Float64Array.from(this.motes, (mote) => mote.start);
    // The latest end among all motes up to each one: ascending, so that the oldest one still on its way is found by search.
    let latest = 0;
    this.latestFinish = Float64Array.from(this.motes, (mote) => (latest = Math.max(latest, mote.finish)));
    this.statuses = this.#collectStatuses();
    /** @type {Map<number, number[]> | null} */
    this.effectsOf = null;
  }

  /** @param {number | null} id */
  record(id) {
    return id === null ? undefined : this.records[this.place.get(id) ?? -1];
  }

  /**
   * The place of the last record at or before `t`; -1 before the first.
   * @param {number} t
   */
  placeAt(t) {
    return upTo(this.at, t) - 1;
  }

  /**
   * The datagrams whose way touches the span of time, in the order in which they were sent.
   * @param {number} from
   * @param {number} to
   */
  motesBetween(from, to) {
    const found = [];
    const last = upTo(this.starts, to);
    for (let i = below(this.latestFinish, from); i < last; i++) {
      if (this.motes[i].finish >= from) found.push(this.motes[i]);
    }
    return found;
  }

  /**
   * When the next datagram is sent after `t`; the end of the run when none is.
   * @param {number} t
   */
  nextStart(t) {
    return this.starts[upTo(this.starts, t)] ?? this.end;
  }

  /**
   * The line of the story that a place in the trace has reached; -1 before the first.
   * @param {number} place
   */
  storyAt(place) {
    return upTo(this.storyPlaces, place) - 1;
  }

  /**
   * What the host last said of its tunnel, up to a place in the trace.
   * @param {string} host
   * @param {number} place
   */
  statusAt(host, place) {
    const said = this.statuses.get(host);
    return said?.texts[upTo(said.places, place) - 1] ?? '';
  }

  /**
   * The records that led to this one, the first cause first, itself last.
   * @param {Entry} record
   */
  causesOf(record) {
    const chain = [record];
    for (let cause = this.record(record.cause); cause && !chain.includes(cause); cause = this.record(cause.cause)) {
      chain.unshift(cause);
    }
    return chain;
  }

  /**
   * The records that name this one as their cause.
   * @param {Entry} record
   */
  effects(record) {
    if (!this.effectsOf) {
      this.effectsOf = new Map();
      for (const { id, cause } of this.records) {
        if (cause === null) continue;
        const known = this.effectsOf.get(cause);
        if (known) known.push(id);
        else this.effectsOf.set(cause, [id]);
      }
    }
    return (this.effectsOf.get(record.id) ?? []).flatMap((id) => this.record(id) ?? []);
  }

  #collectMotes() {
    /** @type {Mote[]} */
    const motes = [];
    /** @type {Map<number, Mote>} */
    const byFlight = new Map();
    for (const entry of this.records) {
      const cause = this.record(entry.cause);
      if (entry.what === 'flight' && cause) {
        const mote = newMote(cause, entry, entry.due_ns);
        motes.push(mote);
        byFlight.set(entry.id, mote);
      } else if (entry.what === 'lost' && cause?.what === 'sent') {
        const mote = newMote(cause, entry, entry.at_ns);
        mote.lostAt = AT_THE_DOOR.includes(mote.reason) ? LOST_AT_THE_DOOR : LOST_ON_THE_WAY;
        mote.finish = entry.at_ns + mote.lostAt * this.crossing;
        mote.end = entry;
        motes.push(mote);
      } else if (entry.what === 'lost' || entry.what === 'received') {
        const mote = byFlight.get(entry.cause ?? -1);
        if (!mote) continue;
        mote.end = entry;
        if (entry.what === 'lost') {
          mote.lostAt = 1;
          mote.reason = entry.reason;
        }
      }
    }
    return motes;
  }

  #collectStatuses() {
    /** @type {Map<string, {places: number[], texts: string[]}>} */
    const statuses = new Map();
    this.records.forEach((record, place) => {
      if (record.what !== 'status' || record.host === null) return;
      const said = statuses.get(record.host) ?? { places: [], texts: [] };
      said.places.push(place);
      said.texts.push(record.status);
      statuses.set(record.host, said);
    });
    return statuses;
  }
}

/**
 * @param {Entry} sent
 * @param {Entry} entry
 * @param {number} finish
 * @returns {Mote}
 */
function newMote(sent, entry, finish) {
  return {
    sent,
    entry,
    end: null,
    from: sent.host ?? '',
    to: entry.to ?? sent.to,
    kind: sent.kind,
    start: entry.at_ns,
    finish,
    lostAt: null,
    reason: entry.reason ?? '',
    duplicate: Number(entry.copy ?? 0) > 0,
    corrupted: Boolean(entry.corrupted),
  };
}

/**
 * @param {[string, string][]} linked
 * @param {Mote[]} motes
 */
function pairsOf(linked, motes) {
  const pairs = new Map(linked.map((pair) => [[...pair].sort().join(), pair]));
  for (const { from, to } of motes) {
    const key = [from, to].sort().join();
    if (to && !pairs.has(key)) pairs.set(key, [from, to]);
  }
  return [...pairs.values()];
}

/**
 * The time the middle datagram takes for its way, in nanoseconds: the measure for speeds, and for those that never arrive.
 * @param {Entry[]} records
 */
function typicalCrossing(records) {
  const crossings = records
    .filter((record) => record.what === 'flight')
    .map((record) => record.due_ns - record.at_ns)
    .filter((crossing) => crossing > 0)
    .sort((a, b) => a - b);
  return crossings[crossings.length >> 1] ?? 30e6;
}
