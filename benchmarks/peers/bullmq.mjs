// BullMQ on Redis.
import fs from "node:fs";
import { createRequire } from "node:module";

const { Queue, Worker } = createRequire(`${process.env.BENCH_MODULES}/`)("bullmq");
const { hostname: host, port } = new URL(process.env.BENCH_BROKER);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const body = { username: "user123", value: 150.0 };

if (process.argv[2] === "work") {
  const file = fs.openSync(process.env.BENCH_STARTS, "a");
  const note = async () => fs.writeSync(file, `${BigInt(Date.now()) * 1000000n}\n`);
  new Worker("noop", note, { connection, concurrency: 50 });
} else {
  const queue = new Queue("noop", { connection, defaultJobOptions: { removeOnComplete: true } });
  for (let left = Number(process.argv[2]); left > 0; left -= 1000) {
    await queue.addBulk(Array.from({ length: Math.min(1000, left) }, () => ({ name: "noop", data: body })));
  }
  await queue.close();
}
