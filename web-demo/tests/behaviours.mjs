// Tests of the page, one behaviour each. Each test runs in a new tab.

import assert from 'node:assert/strict';

/** Opens the page and waits until the run in the address is shown. */
async function open(page, address, query) {
  await page.goto(`${address}${query}`);
  await page.waitForSelector('#outcome[data-state="passed"], #outcome[data-state="failed"]');
}

/** The visible state of the page at the current time. */
function visible(page) {
  return page.evaluate(() => ({
    time: document.querySelector('#time').textContent,
    inFlight: document.querySelector('#in-flight').textContent,
    picture: document.querySelector('#canvas').toDataURL(),
    line: document.querySelector('#story-list [aria-current]')?.textContent ?? null,
  }));
}

const query = (page) => page.evaluate(() => Object.fromEntries(new URLSearchParams(location.search)));
const seconds = (text) => Number.parseFloat(text);

export const behaviours = {
  async 'the list contains the scenarios'(page, { address }) {
    await open(page, address, '');
    const names = await page.$$eval('#scenario option', (options) => options.map((option) => option.value));
    assert.ok(names.includes('first-light') && names.length >= 4, `the list is ${names}`);
  },

  async 'a run of first-light with seed 7 has the native digest'(page, { address, digest }) {
    await open(page, address, '?scenario=first-light&seed=7');
    assert.equal(await page.getAttribute('#outcome', 'data-state'), 'passed');
    assert.equal(await page.getAttribute('#digest', 'data-digest'), digest);
    assert.equal(await page.$$eval('#checks .failed', (broken) => broken.length), 0);
    assert.ok((await page.$$eval('#checks .passed', (passed) => passed.length)) > 0);
  },

  async 'a recorded run of first-light is replayed with the native digest'(page, { address, digest }) {
    await page.goto(address);
    const replayed = await page.evaluate(async () => {
      const { Laboratory } = await import('./lab.js');
      return new Laboratory().replayedDigest('first-light', '7');
    });
    assert.equal(replayed, digest);
  },

  async 'playing moves time and datagrams, and pausing stops them'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    const before = await visible(page);
    await page.click('#play');
    await page.waitForTimeout(700);
    await page.click('#play');
    const paused = await visible(page);
    assert.ok(seconds(paused.time) > seconds(before.time), `${before.time} to ${paused.time}`);
    assert.notEqual(paused.picture, before.picture);
    await page.waitForTimeout(300);
    assert.deepEqual(await visible(page), paused);
  },

  async 'the space bar plays and pauses'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    await page.keyboard.press(' ');
    await page.waitForSelector('#play[aria-label="Pause"]');
    await page.keyboard.press(' ');
    await page.waitForSelector('#play[aria-label="Play"]');
  },

  async 'a step shows the next record with its causes, and a step back the previous one'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    await page.keyboard.press('Home');
    const shown = () => page.textContent('#details .chosen');
    await page.click('#step');
    const first = await shown();
    await page.keyboard.press('ArrowRight');
    const second = await shown();
    assert.notEqual(second, first);
    await page.keyboard.press('ArrowLeft');
    assert.equal(await shown(), first);
    for (let i = 0; i < 12; i++) await page.keyboard.press('ArrowRight');
    assert.ok((await page.$$eval('#details ol.chain li', (causes) => causes.length)) > 0, 'no chain of causes');
  },

  async 'moving the time line changes the time'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    const before = await visible(page);
    const box = await page.locator('#scrub').boundingBox();
    await page.mouse.click(box.x + box.width * 0.4, box.y + box.height / 2);
    const after = await visible(page);
    assert.ok(seconds(after.time) > seconds(before.time));
    assert.notEqual(after.picture, before.picture);
    assert.notEqual(after.line, before.line);
    await page.keyboard.press('End');
    const { time } = await visible(page);
    assert.equal(seconds(time).toFixed(3), seconds((await page.textContent('#end-time')).slice(3)).toFixed(3));
  },

  async 'a datagram in flight can be selected and shows its record'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    for (let i = 0; i < 40 && (await page.$('#in-flight button')) === null; i++) await page.keyboard.press('ArrowRight');
    await page.click('#in-flight button');
    assert.match(await page.textContent('#details .chosen'), /in flight|lost/i);
  },

  async 'a click on a story line goes to its time and marks the line'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    const lines = page.locator('#story-list li');
    const chosen = lines.nth(Math.min(3, (await lines.count()) - 1));
    await chosen.locator('button').click();
    assert.equal(await chosen.getAttribute('aria-current'), 'true');
    assert.equal(await page.locator('#story-list [aria-current]').count(), 1);
    assert.equal(seconds(await page.textContent('#time')).toFixed(3), seconds(await chosen.locator('time').textContent()).toFixed(3));
    await page.keyboard.press('Shift+ArrowRight');
    assert.equal(await chosen.getAttribute('aria-current'), null);
  },

  async 'the address contains scenario, seed and time, and a link restores them'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    await page.fill('#seed', '11');
    await page.click('#run');
    await page.waitForFunction(() => location.search.includes('seed=11') && document.querySelector('#outcome').dataset.state !== 'waiting');
    await page.keyboard.press('Escape');
    await page.locator('#story-list button').nth(2).click();
    await page.waitForFunction(() => new URLSearchParams(location.search).get('t') !== null);
    const shared = await query(page);
    assert.equal(shared.scenario, 'first-light');
    assert.equal(shared.seed, '11');
    const seen = { ...(await visible(page)), digest: await page.getAttribute('#digest', 'data-digest') };
    await page.reload();
    await page.waitForSelector('#outcome[data-state="passed"]');
    const again = { ...(await visible(page)), digest: await page.getAttribute('#digest', 'data-digest') };
    assert.deepEqual([again.time, again.digest], [seen.time, seen.digest]);
    assert.equal(await page.inputValue('#seed'), '11');
  },

  async 'selecting another scenario runs it, and the back button returns'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    const first = await page.getAttribute('#digest', 'data-digest');
    await page.selectOption('#scenario', 'standard');
    await page.waitForFunction((old) => (document.querySelector('#digest').dataset.digest ?? old) !== old, first);
    assert.equal((await query(page)).scenario, 'standard');
    await page.goBack();
    await page.waitForFunction((old) => document.querySelector('#digest').dataset.digest === old, first);
    assert.equal(await page.inputValue('#scenario'), 'first-light');
  },

  async 'every built-in scenario runs and can be viewed from start to end'(page, { address }) {
    await open(page, address, '');
    const names = await page.$$eval('#scenario option', (options) => options.map((option) => option.value));
    for (const name of names) {
      await open(page, address, `?scenario=${name}&seed=1&t=0`);
      assert.equal(await page.getAttribute('#outcome', 'data-state'), 'passed', name);
      for (const key of ['End', 'ArrowLeft', 'Home', 'ArrowRight', 'Shift+ArrowRight']) await page.keyboard.press(key);
      assert.ok((await page.locator('#story-list li').count()) > 0, `${name} has no story`);
    }
  },

  async 'an unknown scenario in the address gives an error message'(page, { address }) {
    await open(page, address, '?scenario=frist-light&seed=7');
    const notice = await page.textContent('#notice');
    assert.match(notice, /frist-light/);
    assert.match(notice, /first-light/);
    await page.selectOption('#scenario', 'first-light');
    await page.waitForSelector('#outcome[data-state="passed"]');
    assert.equal((await page.textContent('#notice')).trim(), '');
  },

  async 'a seed that is not a number gives an error message'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=seven');
    assert.match(await page.textContent('#notice'), /seven/);
  },

  async 'a changed scenario runs, and a mistake in it gives an error message'(page, { address }) {
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    await page.click('#edit');
    const source = await page.inputValue('#source');
    await page.fill('#source', `${source}\nno-such-key = 1\n`);
    await page.click('#editor-run');
    await page.waitForSelector('#editor-error:not([hidden])');
    assert.match(await page.textContent('#editor-error'), /no-such-key/);
    await page.fill('#source', `# changed\n${source}`);
    await page.click('#editor-run');
    await page.waitForSelector('#editor', { state: 'hidden' });
    assert.equal(await page.getAttribute('#outcome', 'data-state'), 'passed');
  },

  async 'with reduced motion, playback does not start by itself'(page, { address }) {
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await open(page, address, '?scenario=first-light&seed=7');
    assert.equal(await page.getAttribute('#play', 'aria-label'), 'Play');
    await page.click('#play');
    await page.waitForSelector('#story-list [aria-current]');
  },

  async 'a phone shows the page without horizontal scrolling'(page, { address }) {
    await page.setViewportSize({ width: 375, height: 780 });
    await open(page, address, '?scenario=first-light&seed=7&t=0');
    const { wide, room } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, room: document.documentElement.clientWidth }));
    assert.ok(wide <= room, `${wide} of ${room} pixels`);
  },
};
