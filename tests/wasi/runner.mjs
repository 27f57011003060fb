#!/usr/bin/env -S node --no-warnings
// Runner of WebAssembly programs for WASI under node, named in `.cargo/config.toml` for `wasm32-wasip1`.
//
// A panic in WebAssembly is a trap. It ends the instance, so the other tests of a test binary would not run, and the message of
// the failed test would be lost. Therefore a test binary first prints its list of tests, and then each test runs in an instance
// of its own. There is one worker for each processor. Any other binary, such as one of `cargo run`, runs once.

import { mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

// With fast API calls, V8 may collect garbage during a call into node's WASI, and then node crashes. Here one run in three did
// (nodejs/node issues 46777 and 53087). Without fast calls, none did.
setFlagsFromString("--no-turbo-fast-api-calls");

const TRAPPED = 134; // exit status of an aborted process in a shell
const TESTS_FAILED = 101; // exit status of a native test binary

const workspace = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const [modulePath, ...args] = isMainThread ? process.argv.slice(2) : [workerData.modulePath];
if (modulePath === undefined) {
  console.error("usage: runner.mjs MODULE.wasm [ARGUMENT]...");
  process.exit(2);
}
const module = isMainThread ? await WebAssembly.compile(readFileSync(modulePath)) : workerData.module;

/** Runs the module once with the given file descriptors for standard output and error. Returns its exit status. */
async function run(programArgs, stdout, stderr) {
  const cwd = process.cwd();
  const wasi = new WASI({
    version: "preview1",
    args: [modulePath, ...programArgs],
    // Without the variable, insta would run `cargo metadata`, but WASI has no processes.
    env: { ...process.env, INSTA_WORKSPACE_ROOT: workspace },
    // Absolute paths must not be resolved below ".". So each root has its own name, and none is "/".
    preopens: { [workspace]: workspace, [cwd]: cwd, ".": cwd, "/tmp": tmpdir() },
    returnOnExit: true,
    stdin: 0,
    stdout,
    stderr,
  });
  const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
  try {
    return wasi.start(instance);
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    return TRAPPED;
  }
}

/** Runs the module with its output collected in a file, and returns `{ status, output }`. */
async function capture(programArgs, file) {
  const descriptor = openSync(file, "w");
  const status = await run(programArgs, descriptor, descriptor).finally(() => closeSync(descriptor));
  return { status, output: readFileSync(file, "utf8") };
}

/** Splits the arguments of a test binary into those that choose tests and those that are passed to each test. */
function splitArguments(all) {
  const choosing = [];
  const passing = [];
  for (let index = 0; index < all.length; index += 1) {
    const argument = all[index];
    if (argument === "--skip") choosing.push(argument, all[(index += 1)]);
    else if (argument === "--exact" || !argument.startsWith("-")) choosing.push(argument);
    else if (argument.startsWith("--skip=")) choosing.push(argument);
    else if (argument !== "--nocapture" && argument !== "--no-capture") passing.push(argument);
  }
  return { choosing, passing };
}

/** Runs each test of a test binary in an instance of its own, with the output of libtest. Returns the exit status. */
async function runTests(all, folder) {
  const { choosing, passing } = splitArguments(all);
  const listed = await capture([...choosing, ...passing, "--list", "--format=terse"], join(folder, "list"));
  if (listed.status !== 0) {
    process.stdout.write(listed.output);
    return listed.status;
  }
  const names = [...listed.output.matchAll(/^(.+): test$/gm)].map((match) => match[1]);
  console.log(`\nrunning ${names.length} tests`);
  const failures = [];
  let ignored = 0;
  const report = ({ name, status, output }) => {
    const wasIgnored = status === 0 && /test result: ok\. 0 passed/.test(output);
    ignored += wasIgnored ? 1 : 0;
    if (status !== 0) failures.push({ name, output });
    console.log(`test ${name} ... ${status !== 0 ? "FAILED" : wasIgnored ? "ignored" : "ok"}`);
  };
  const queue = names.values();
  const workers = Array.from({ length: Math.min(availableParallelism(), names.length) }, (_, number) =>
    work(queue, passing, join(folder, `output-${number}`), report),
  );
  await Promise.all(workers);
  for (const { name, output } of failures) console.log(`\n---- ${name} ----\n${output}`);
  const passed = names.length - failures.length - ignored;
  const verdict = failures.length === 0 ? "ok" : "FAILED";
  console.log(`\ntest result: ${verdict}. ${passed} passed; ${failures.length} failed; ${ignored} ignored\n`);
  return failures.length === 0 ? 0 : TESTS_FAILED;
}

/** Lets a worker run the tests of the queue one after the other, and reports each result. A failed worker ends the run. */
function work(queue, passing, file, report) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { modulePath, module, passing, file } });
    const next = () => {
      const { done, value } = queue.next();
      if (done) worker.terminate().then(() => resolve(), reject);
      else worker.postMessage(value);
    };
    worker.on("message", (result) => {
      report(result);
      next();
    });
    worker.on("error", reject);
    next();
  });
}

/** The worker: runs the tests whose names it receives. */
function serve({ passing, file }) {
  parentPort.on("message", async (name) => {
    const result = await capture([...passing, "--exact", name, "--nocapture"], file);
    parentPort.postMessage({ name, ...result });
  });
}

// Test binaries are in the folder `deps`, the programs of `cargo run` beside it.
if (!isMainThread) {
  serve(workerData);
} else if (basename(dirname(modulePath)) === "deps") {
  const folder = mkdtempSync(join(tmpdir(), "wasi-tests-"));
  try {
    process.exitCode = await runTests(args, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
} else {
  process.exitCode = await run(args, 1, 2);
}
