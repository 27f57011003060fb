// @ts-check
// Sentences for the records of the trace. Texts from the simulator are shown unchanged.

import { count, span } from './format.js';

/** @typedef {import('./model.js').Entry} Entry */
/** @typedef {import('./model.js').Model} Model */

/** Texts for the reasons of a loss. @type {Record<string, string>} */
export const REASONS = {
  random: 'random loss',
  scripted: 'dropped by the scenario',
  mtu: 'too long for the link',
  'queue-full': 'queue full',
  partition: 'link cut',
  'host-down': 'host is down',
  'no-host': 'no host has this address',
  intercepted: 'intercepted by an adversary',
};

/** @type {Record<string, (record: Entry) => string>} */
const SENTENCES = {
  sent: (r) => `sends ${r.kind}${r.nth === undefined ? '' : ` ${ordinal(r.nth)}`} to ${r.to ?? 'an address without a host'} (${count(r.len)} bytes)`,
  flight: (r) =>
    `in flight to ${r.to}, arrives after ${span(r.due_ns - r.at_ns)}${Number(r.copy ?? 0) > 0 ? ', duplicate' : ''}${r.corrupted ? ', corrupted' : ''}`,
  lost: (r) => `lost on the way${r.to ? ` to ${r.to}` : ''}: ${REASONS[r.reason] ?? r.reason}`,
  received: (r) => `receives ${r.kind ?? 'a datagram'} from ${r.from} (${count(r.len)} bytes)`,
  'inner-out': (r) => `sends an inner packet into the tunnel${inner(r)}`,
  'inner-in': (r) => `receives an inner packet from the tunnel${inner(r)}`,
  boot: (r) => (r.boot > 0 ? `starts again (start no. ${r.boot + 1})` : 'starts'),
  'logged-in': (r) => `accepts the login of ${r.login}${r.from ? ` from ${r.from}` : ''}`,
  roamed: (r) => `moves the session from ${r.from} to ${r.to}`,
  'settings-changed': () => 'receives new settings',
  retrying: (r) => `cannot log in again (${r.error}); will retry`,
  rekeyed: (r) => `uses the keys of epoch ${r.epoch}`,
  'session-ended': (r) => `ends the session of ${r.login}: ${r.reason}`,
  rebound: (r) => `has a new address (NAT rebinding): ${r.to}`,
  attack: (r) => `attacks: ${r.act}, with source ${r.source}`,
  'login-refused': (r) => `refuses a login${r.from ? ` from ${r.from}` : ''}`,
  status: (r) => `is now ${r.status}`,
  started: (r) => `start finished: ${r.result}`,
  command: (r) => `receives the command ${r.command}`,
  timer: (r) => `timer: ${r.reason}`,
  task: (r) => `${r.text}`,
  dropped: (r) => `drops the datagram or packet: ${r.reason}`,
  fault: (r) => `fault: ${r.text}`,
  event: (r) => `${r.text}`,
};

/** Fields that the sentence of a record already contains. */
const IN_SENTENCE = ['id', 'at_ns', 'host', 'cause', 'what', 'to', 'from', 'kind', 'nth', 'len', 'reason', 'status', 'result', 'command', 'text',
  'summary', 'login', 'boot', 'epoch', 'act', 'source', 'error'];

/**
 * The sentence of a record, with its host.
 * @param {Entry} record
 */
export function describe(record) {
  const sentence = SENTENCES[record.what];
  const text = sentence ? sentence(record) : record.what;
  if (record.host === null || record.what === 'flight' || record.what === 'lost') return capital(text);
  return `${record.host} ${/^(sends|receives|is|drops|starts|accepts|refuses|moves|uses|ends|has|attacks|cannot)\b/.test(text) ? '' : '· '}${text}`;
}

/**
 * The fields of a record that are not in its sentence.
 * @param {Entry} record
 * @returns {[string, string][]}
 */
export function fields(record) {
  const shown = new Set(IN_SENTENCE);
  return Object.entries(record)
    .filter(([name, value]) => !shown.has(name) && value !== null && value !== '' && value !== false && !(name === 'copy' && value === 0))
    .map(([name, value]) => {
      if (name === 'due_ns') return ['arrives at', `${(value / 1e9).toFixed(6)} s`];
      if (name === 'print') return ['SHA-256 begins', String(value)];
      return [name.replaceAll('_', ' '), typeof value === 'object' ? JSON.stringify(value) : String(value)];
    });
}

/** @param {Entry} record */
function inner({ summary, len }) {
  return `${summary ? `: ${summary}` : ''} (${count(len)} bytes)`;
}

/** @param {number} n */
function ordinal(n) {
  return `no. ${count(n)}`;
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
