// What an application does that has Postgres and Socket.IO: it LISTENs, and sends each row whose NOTIFY it hears to
// everybody, or with the argument `rooms` to those who named its box when they connected.
"use strict";

const { createServer } = require("node:http");
const { Client } = require("pg");
const { Server } = require("socket.io");

const rooms = process.argv[2] === "rooms";

async function main() {
  const http = createServer();
  const io = new Server(http, { transports: ["websocket"] });
  if (rooms) {
    io.on("connection", (socket) => socket.join(socket.handshake.query.box));
  }
  const database = new Client();
  database.on("notification", ({ payload }) => {
    const row = JSON.parse(payload);
    (rooms ? io.to(row.box_id) : io).emit("row", row);
  });
  await database.connect();
  await database.query("listen rows");
  http.listen(0, "127.0.0.1", () => console.log(`READY ${http.address().port}`));
}

main();
