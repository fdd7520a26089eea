// The vendor's own JavaScript client, unmodified, writing down what it is told.
//
// Usage: TOKEN=… node massive_client.mjs HOST:PORT[/ws]
// It stands beside the `node_modules` that the client is installed in: that is where Node looks.
import { websocketClient } from "@massive.com/client-js";

const socket = websocketClient(process.env.TOKEN, `ws://${process.argv[2]}`).indices();
socket.onmessage = ({ data }) => {
  for (const event of JSON.parse(data)) {
    if (event.ev === "V") {
      console.log("value", event.T, event.val);
    } else {
      console.log("log", event.status, event.message);
      // It sends the key by itself, and nothing more.
      if (event.status === "auth_success") {
        socket.send(JSON.stringify({ action: "subscribe", params: "V.I:SPX,V.I:VIX" }));
      }
    }
  }
};
socket.onerror = (error) => console.log("log error", error.message);
socket.onclose = ({ code }) => console.log("ended", code);
