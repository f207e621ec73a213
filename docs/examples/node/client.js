// Hands a task to a runner, prints its output and its events, and acknowledges it.
//
//   node client.js ADDRESS TASK_ID PAYLOAD_FILE
//
// ADDRESS is unix:/path or host:port. Output goes to stdout and stderr as the task wrote it, events
// to stderr, a line each; the exit code is 0 where the task completed, else 1. A stream that ends
// with UNAVAILABLE is opened again after the last message that was taken, as the protocol allows.
"use strict";

const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const PROTOS = path.join(__dirname, "../../../protos");
const definition = loader.loadSync("supervisor/v1/supervisor.proto", {
  includeDirs: [PROTOS],
  keepCase: true, // fields as the .proto names them
  enums: String,
  longs: String, // sequences and offsets have 64 bits
  defaults: true,
});
const { Supervisor } = grpc.loadPackageDefinition(definition).supervisor.v1;

async function main([address, taskId, file]) {
  const runner = new Supervisor(address, grpc.credentials.createInsecure());
  try {
    // Idempotent: with the same id and content it may be sent again, however often.
    const assigned = await again(() =>
      call(runner, "AssignTask", {
        task_id: taskId,
        task_class: "TASK_CLASS_CPU_SHORT",
        payload: readFileSync(file),
        labels: { client: "node" },
      }),
    );
    console.error(`assigned ${taskId} created=${assigned.created}`);
    await output(runner, taskId);
    const task = await watch(runner, taskId);
    // What is acknowledged may be forgotten: say so once the result is safe with you.
    const answer = await again(() => call(runner, "AcknowledgeTasks", { task_ids: [taskId] }));
    console.error(`acknowledged, ${answer.not_acknowledged.length} refused`);
    if (task.state !== "TASK_STATE_COMPLETED") {
      throw new Error(`the task ${short(task.state)}: ${task.failure ? task.failure.message : ""}`);
    }
  } finally {
    runner.close();
  }
}

// Prints what the task writes until it has ended, and proves that no byte of it is missing.
async function output(runner, taskId) {
  const request = { task_id: taskId, follow: true };
  let digest = createHash("sha256");
  await again(async () => {
    for await (const chunk of runner.StreamOutput(request)) {
      if (chunk.cursor) request.cursor = chunk.cursor;
      if (chunk.stream === "OUTPUT_STREAM_STDERR") {
        process.stderr.write(chunk.data);
      } else {
        process.stdout.write(chunk.data);
        digest.update(chunk.data);
      }
      if (chunk.end) {
        if (digest.digest("hex") !== chunk.end.stdout_sha256) {
          throw new Error("stdout did not arrive whole");
        }
        digest = createHash("sha256"); // the next attempt's
      }
    }
  });
}

// Tells the task's events from its acceptance to its end, each once; returns it ended.
async function watch(runner, taskId) {
  const request = { task_ids: [taskId], until_done: true };
  let task;
  await again(async () => {
    for await (const event of runner.WatchTasks(request)) {
      request.after_sequence = event.sequence;
      task = event.task;
      console.error(`event ${short(event.type)}`);
    }
  });
  return task;
}

function call(runner, method, request) {
  return new Promise((resolve, reject) => {
    runner[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

// Tries until it is well, or goes wrong in another way than UNAVAILABLE, for a minute.
async function again(attempt) {
  const giveUp = Date.now() + 60_000;
  for (let pause = 100; ; pause = Math.min(pause * 2, 2_000)) {
    try {
      return await attempt();
    } catch (error) {
      if (error.code !== grpc.status.UNAVAILABLE || Date.now() > giveUp) throw error;
    }
    await sleep(pause);
  }
}

function short(name) {
  return name.replace(/^TASK_(STATE|EVENT_TYPE)_/, "").toLowerCase();
}

if (process.argv.length !== 5) {
  console.error("usage: node client.js ADDRESS TASK_ID PAYLOAD_FILE");
  process.exitCode = 2;
} else {
  main(process.argv.slice(2)).catch((error) => {
    console.error(`client: ${error.message}`);
    process.exitCode = 1;
  });
}
