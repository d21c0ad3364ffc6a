import { Heading } from "./heading.jsx";
import { Live } from "./live.jsx";

export default function Page() {
  return (
    <main>
      <Heading />
      <Live />
    </main>
  );
}
