"use client";

import { useState } from "react";

// The test edits the word, and the page has to show it without losing the count.
export function Heading() {
  const [count, setCount] = useState(0);
  return (
    <h1>
      <button id="count" onClick={() => setCount(count + 1)}>
        {count}
      </button>{" "}
      <span id="word">first</span>
    </h1>
  );
}
