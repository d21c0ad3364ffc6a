"use client";

import { Terminal } from "@xterm/xterm";
import { useEffect, useRef, useState } from "react";

const AGAIN_MS = 300;

/** A terminal over a WebSocket to the mux, opened again whenever it closes. */
function openTerminal(element, onState) {
  const terminal = new Terminal({ cols: 80, rows: 24 });
  terminal.open(element);
  let socket;
  let again;
  let over = false;
  const connect = () => {
    socket = new WebSocket(`ws://${location.host}/mux`);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => onState("open"));
    socket.addEventListener("message", ({ data }) => terminal.write(new Uint8Array(data)));
    socket.addEventListener("close", ({ code }) => {
      onState(`closed ${code}`);
      if (!over) again = setTimeout(connect, AGAIN_MS);
    });
  };
  connect();
  terminal.onData((text) => socket.readyState === WebSocket.OPEN && socket.send(text));
  window.terminal = terminal;
  return () => {
    over = true;
    clearTimeout(again);
    socket.close();
    terminal.dispose();
  };
}

/** What lives on the page: a terminal, and events. */
export function Live() {
  const element = useRef(null);
  const [states, setStates] = useState([]);
  const [tick, setTick] = useState("");
  useEffect(() => openTerminal(element.current, (state) => setStates((all) => [...all, state])), []);
  useEffect(() => {
    // Nothing but what EventSource does by itself: it gives up for ever at anything but a 200.
    const events = new EventSource("/events");
    events.addEventListener("message", ({ data }) => setTick(data));
    return () => events.close();
  }, []);
  return (
    <>
      <p id="tick">{tick}</p>
      <p id="states">{states.join(", ")}</p>
      <div id="terminal" ref={element} />
    </>
  );
}
