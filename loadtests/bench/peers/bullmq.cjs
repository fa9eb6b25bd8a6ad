// BullMQ: `node bullmq.cjs driver` answers lines of JSON like driver.py, `node bullmq.cjs worker` works.
// The clock is CLOCK_MONOTONIC in both languages, so times can be compared.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");
const readline = require("node:readline");

const modules = createRequire(path.join(process.env.BENCH_MODULES, "here.js"));
const { Queue, Worker } = modules("bullmq");
const at = new URL(process.env.BENCH_REDIS);
const connection = { host: at.hostname, port: Number(at.port), db: Number(at.pathname.slice(1)) };
const payload = "x".repeat(200);
const now = () => Number(process.hrtime.bigint()) / 1e9;
const options = { removeOnComplete: true };

function work() {
  const file = fs.openSync(process.env.BENCH_STARTED, "a");
  const note = async (job) => fs.writeSync(file, `${job.data.due} ${now()}\n`);
  return new Worker("bench", note, { connection, concurrency: 100 });
}

// Timers are whole milliseconds: the last one is waited for in turns of the loop.
function until(due) {
  const left = due - now();
  if (left > 0.003) return new Promise((done) => setTimeout(done, left * 1000 - 2)).then(() => until(due));
  if (left > 0) return new Promise((done) => setImmediate(done)).then(() => until(due));
  return Promise.resolve();
}

function actions(queue) {
  return {
    async enqueue({ count }) {
      const began = now();
      for (let i = 0; i < count; i++) await queue.add("work", { due: now(), payload }, options);
      return { seconds: now() - began };
    },
    async submit({ rate, count }) {
      const began = now() + 0.02;
      const running = [];
      const late = [];
      for (let i = 0; i < count; i++) {
        const due = began + i / rate;
        await until(due);
        late.push(now() - due);
        running.push(queue.add("work", { due, payload }, options));
      }
      await Promise.all(running);
      late.sort((a, b) => a - b);
      return { late_s: late[Math.ceil(0.99 * late.length) - 1] };
    },
  };
}

async function drive() {
  const known = actions(new Queue("bench", { connection }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    let answer;
    try {
      answer = { result: await known[asked.action](asked.arguments) };
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  process.exit(0);
}

process.argv[2] === "worker" ? work() : drive();
