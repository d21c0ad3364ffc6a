"use client";

import { useActionState } from "react";
import { receive } from "./receive.js";

/** A form whose file goes to a server action, which says what came. */
export default function Send() {
  const [said, send] = useActionState(receive, "");
  return (
    <form action={send}>
      <input id="file" name="file" type="file" />
      <button id="send">Send</button>
      <output id="said">{said}</output>
    </form>
  );
}
