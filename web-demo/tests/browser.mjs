// A headless Chromium, and a page for it to open: one that is served already, a folder, or a fresh build.

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

/** The project's folder. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The options that say which page and which browser. */
export const OPTIONS = {
  url: { type: 'string' },
  dir: { type: 'string' },
  chromium: { type: 'string', default: '/usr/bin/chromium' },
};

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/**
 * Opens a browser with a fresh profile, hands it and the page's address to `work`, and leaves nothing behind.
 * Without `url` and `dir` the page is built first.
 */
export async function withBrowser({ url, dir, chromium: executablePath }, work) {
  const built = url === undefined && dir === undefined ? await build() : null;
  const server = url === undefined ? await serve(dir ?? built) : null;
  try {
    const browser = await chromium.launch({ executablePath, args: FLAGS, headless: true });
    try {
      return await work(browser, server?.address ?? new URL('.', url).href);
    } finally {
      await browser.close();
    }
  } finally {
    server?.stop();
    if (built !== null) await rm(built, { recursive: true });
  }
}

/** Builds the page with cargo into a folder of its own. What cargo says goes to standard error. */
async function build() {
  const folder = await mkdtemp(join(tmpdir(), 'sandhog-page-'));
  const command = ['run', '--quiet', '--package', 'sandhog-web', '--', '--build-only', folder];
  execFileSync('cargo', command, { cwd: ROOT, stdio: ['ignore', process.stderr, process.stderr] });
  return folder;
}

/** Serves a built page on a free loopback port; answers its address and how to stop it. */
async function serve(folder) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const file = normalize(decodeURIComponent(pathname === '/' ? '/index.html' : pathname));
    try {
      const body = await readFile(join(folder, file));
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { address: `http://127.0.0.1:${server.address().port}/`, stop };
}
